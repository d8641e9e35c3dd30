"""What of a profile is left in the process, by the version of CUDA and by what the user set."""

from __future__ import annotations

import os

import pytest
import torch

from seqprof.instruments.torch_bridge import letting_go, stays_after_profiling

GPU = torch.device("cuda")
SET = "TEARDOWN_CUPTI"


@pytest.mark.parametrize(
    ("cuda", "wanted", "stays"),
    [
        ("12.4", None, True),
        ("12.6", None, False),
        ("13.0", None, False),
        ("13.0", "0", True),
        ("11.8", "1", False),
        (None, None, False),  # ROCm
    ],
)
def test_cupti_is_let_go_where_that_is_safe_or_wanted(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, wanted: str | None, stays: bool
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv(SET, raising=False)
    if wanted is not None:
        monkeypatch.setenv(SET, wanted)
    assert stays_after_profiling(GPU) is stays
    with letting_go(GPU):
        assert (os.environ.get(SET) == "1") is (not stays)
    assert os.environ.get(SET) == wanted


def test_other_devices_leave_nothing() -> None:
    assert not stays_after_profiling(torch.device("cpu"))
