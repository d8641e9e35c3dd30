"""Accounts of many steps: each as it would be alone, in time that grows with the trace only."""

from __future__ import annotations

import time
from pathlib import Path

from traces_fixtures import Event, annotation, kernel, launch, write_trace

from seqprof.analysis.timeline.structure import Timeline
from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace

KERNELS = 20


def one_step(index: int, begin: int) -> list[Event]:
    """A step of 1,000 µs with a forward and a backward of ten kernels each."""
    events = [
        annotation(f"ProfilerStep#{index}", begin, 1000),
        annotation("forward", begin, 500),
        annotation("backward", begin + 500, 500),
    ]
    for row in range(KERNELS):
        at, number = begin + 50 * row, KERNELS * index + row + 1
        length = 10 + 7 * (row % 3) + index % 5
        events += [launch(at + 1, number), kernel(f"k{row % 4}", at + 5, length, number)]
    return events


def timeline(tmp_path: Path, steps: range) -> Timeline:
    events = [event for step in steps for event in one_step(step, 1000 * step)]
    return read_trace(write_trace(tmp_path / "steps.json", events))


def device(tmp_path: Path, steps: range) -> DeviceSummary:
    return summarise(timeline(tmp_path, steps)).devices[0]


def test_each_of_many_steps_is_accounted_as_between_its_neighbours_alone(tmp_path: Path) -> None:
    whole = device(tmp_path, range(30))
    for index in (1, 7, 28):
        # The step before bounds the window, the step after ends nothing.
        alone = device(tmp_path, range(index - 1, index + 2))
        assert whole.steps[index] == alone.steps[1]


def test_time_grows_with_steps_and_not_with_their_square(tmp_path: Path) -> None:
    def seconds(steps: int) -> float:
        columns = timeline(tmp_path, range(steps))
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            summarise(columns)
            times.append(time.perf_counter() - begun)
        return min(times)

    # 8 times the steps: 8 times the work when linear, 64 times when each step scans the trace.
    assert seconds(1600) < 16 * seconds(200)
