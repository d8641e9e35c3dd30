"""Traces recorded on an H100, against what the models compute and a recount of their intervals."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqprof.analysis.timeline.summary import DeviceSummary, TraceSummary, summarise
from seqprof.reports.documents.trace_words import trace_in_words
from seqprof.traces.kineto import read_trace

FOLDER = Path(__file__).parents[1] / "data" / "h100"
TRUTH: dict[str, dict[str, list[list[int]]]] = json.loads((FOLDER / "truth.json").read_text())
RECORDED = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}


def summary_of(name: str) -> TraceSummary:
    return summarise(read_trace(FOLDER / f"{name}.json.gz"))


def device_of(name: str) -> DeviceSummary:
    (device,) = summary_of(name).devices
    return device


def on_the_device(name: str) -> list[dict[str, Any]]:
    document = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    events: list[dict[str, Any]] = document["traceEvents"]
    return [one for one in events if one.get("ph") == "X" and one.get("cat") in ON_DEVICE]


def intervals(name: str) -> Iterator[tuple[int, int]]:
    """Begin and end in ns, ascending; the profiler writes µs with three decimals."""
    for one in sorted(on_the_device(name), key=lambda event: event["ts"]):
        begin = round(one["ts"] * 1000)
        yield begin, begin + round(one["dur"] * 1000)


@pytest.mark.parametrize("name", TRUTH)
def test_timesteps_are_those_that_the_model_computes(name: str) -> None:
    found: dict[str, list[list[int]]] = {}
    for loop in device_of(name).recurrences:
        found.setdefault(loop.phase, []).append([loop.repeats, loop.loops])
        assert not loop.disagrees
        assert len(loop.latency_ns) == loop.repeats
    assert found == TRUTH[name]


@pytest.mark.parametrize("name", RECORDED)
def test_span_and_busy_time_are_those_of_the_kernels_intervals(name: str) -> None:
    ordered = list(intervals(name))
    busy, reached = 0, ordered[0][0]
    for begin, end in ordered:
        busy += max(end - max(begin, reached), 0)
        reached = max(reached, end)
    device = device_of(name)
    assert device.span_ns == reached - ordered[0][0]
    assert device.busy_ns == busy
    assert sum(device.idle_by_cause_ns.values()) == device.idle_ns == device.span_ns - busy


def test_packed_sequences_in_cudnn_are_told_by_their_cells_and_not_claimed() -> None:
    device = device_of("packed_gru")
    assert not device.recurrences
    assert [(one.phase, one.repeats, one.undecided) for one in device.not_recurrent] == [
        ("forward", 40, True),
        ("backward", 40, True),
    ]
    text = " ".join(trace_in_words(summary_of("packed_gru")))
    assert "Forward: 40 kernels of a recurrent cell" in text
    assert "with_stack" not in text


def test_the_answer_says_how_many_loops_there_are() -> None:
    text = " ".join(trace_in_words(summary_of("both_directions")))
    assert "Forward repeats 24 times in each of 2 loops" in text
    text = " ".join(trace_in_words(summary_of("seq2seq")))
    assert "Forward, loop 1 of 2, repeats 24 times:" in text
    assert "Backward, loop 2 of 2, repeats 17 times:" in text
