"""What a profile costs as it ends, and what of it is left in the process."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity

from seqprof.instruments.torch_bridge import TraceProfiler, letting_go, stays_after_profiling

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


@pytest.mark.timing
def test_a_profile_ends_without_an_object_for_each_event() -> None:
    profiler: Any = TraceProfiler(activities=[ProfilerActivity.CPU])
    x = torch.zeros(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profiler.start()
    for _ in range(20_000):
        x.add_(1.0)
    ends = [perf_counter()]
    profiler.stop()
    ends.append(perf_counter())
    assert len(profiler.events() or ()) >= 20_000
    ends.append(perf_counter())
    stopping, reading = (after - before for before, after in pairwise(ends))
    assert stopping < reading
