"""Errors of a device, told from those of a model, and what to do about them."""

from __future__ import annotations

import pytest

from seqprof.measure.faults import device_is_lost, explain


class AcceleratorError(RuntimeError):
    """As torch 2.8 and later raise it."""


@pytest.mark.parametrize(
    "error",
    [
        AcceleratorError("an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("HIP error: an illegal memory access was encountered"),
    ],
)
def test_an_error_that_stays_may_be_anothers(error: Exception) -> None:
    """It surfaces at a later call, so that the line named is none or the wrong one."""
    assert device_is_lost(error)
    failure = explain(error)
    assert failure.kind == "device_failed"
    assert failure.hint is not None
    assert "CUDA_LAUNCH_BLOCKING=1" in failure.hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "step_failed"),
    ],
)
def test_what_does_not_stay(error: Exception, kind: str) -> None:
    assert not device_is_lost(error)
    assert explain(error).kind == kind
