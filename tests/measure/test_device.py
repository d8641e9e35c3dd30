"""What a recording says of the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.analysis.run.precision import CONVOLUTION, MATMUL, RECURRENT, TF32
from seqprof.measure.device import describe_environment
from seqprof.recording import Device

GPU = Device(kind="cuda", name="a card")


@pytest.fixture
def switches() -> Iterator[tuple[Any, Any]]:
    """cuDNN's and cuBLAS's, put back afterwards."""
    both: tuple[Any, Any] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in both]
    yield both
    for backend, allowed in zip(both, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_the_switches_of_tf32_are_stored_as_torch_has_them(
    switches: tuple[Any, Any], allowed: bool
) -> None:
    """They are there without a GPU; cuDNN's are on by default and cuBLAS's is off."""
    cudnn, matmul = switches
    cudnn.allow_tf32, matmul.allow_tf32 = allowed, not allowed
    stored = describe_environment(GPU, Path.cwd()).fp32_precision
    of_cudnn, of_cublas = (TF32, "ieee") if allowed else ("ieee", TF32)
    assert stored == {MATMUL: of_cublas, CONVOLUTION: of_cudnn, RECURRENT: of_cudnn}


def test_on_a_processor_there_are_none() -> None:
    assert describe_environment(Device(kind="cpu", name="cores"), Path.cwd()).fp32_precision == {}
