"""Peak memory on the CPU follows what is held."""

from __future__ import annotations

import mmap

import pytest
import torch

from seqprof.instruments.memory import peak_memory

MIB = 1 << 20


def test_the_peak_rises_by_what_is_allocated_and_can_be_reset() -> None:
    meter, reason = peak_memory(torch.device("cpu"))
    if meter is None:
        pytest.skip(str(reason))
    meter.reset()
    before = meter.peak_bytes()
    # Of the kernel's: a heap that was larger once may hold a tensor without growing.
    with mmap.mmap(-1, 64 * MIB) as block:
        torch.frombuffer(block, dtype=torch.uint8).fill_(1)
        during = meter.peak_bytes()
    assert meter.peak_bytes() >= during - MIB  # the kernel counts pages in batches per processor
    assert during - before >= 60 * MIB
    meter.reset()
    assert meter.peak_bytes() < during
