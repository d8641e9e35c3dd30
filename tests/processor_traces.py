"""Steps recorded on the processor, and what their trace says of timesteps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from recurrent_models import Loss
from torch.profiler import ProfilerActivity, profile

from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace


def traced(
    folder: Path, loss: Loss, training: bool = True, steps: int = 1, **options: Any
) -> DeviceSummary:
    """The processor's summary of some steps, in ``trace.json``; a first one is not recorded."""

    def step() -> None:
        with torch.set_grad_enabled(training):
            result = loss()
        if training:
            result.backward()  # type: ignore[no-untyped-call]

    step()
    with profile(activities=[ProfilerActivity.CPU], **options) as profiler:
        for _ in range(steps):
            step()
    path = folder / "trace.json"
    profiler.export_chrome_trace(str(path))
    return processor_of(path)


def processor_of(path: Path) -> DeviceSummary:
    """The processor's summary of a trace, whose figures hang together."""
    processor = summarise(read_trace(path)).processor
    assert processor is not None
    for one in processor.recurrences:
        assert len(one.latency_ns) == len(one.gap_ns) == one.repeats
        assert 0 < one.coverage <= 1
    return processor


def loops(summary: DeviceSummary) -> dict[str, list[int]]:
    """T of each loop, by phase."""
    by_phase: dict[str, list[int]] = {}
    for one in summary.recurrences:
        by_phase.setdefault(one.phase, []).extend([one.repeats] * one.loops)
    return by_phase
