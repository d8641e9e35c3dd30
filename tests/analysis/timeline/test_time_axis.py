"""One device over time, held against the exact account of the same trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from traces_fixtures import (
    RECORDED,
    TRACES,
    Event,
    annotation,
    kernel,
    launch,
    needs_traces,
    operator,
    write_trace,
)

from seqprof.analysis.timeline.axis import MOST_GAPS, MOST_LANES
from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.reports.documents import document_of
from seqprof.reports.formats import Result
from seqprof.reports.renderers.markdown import render
from seqprof.traces.kineto import read_trace


def only_device(tmp_path: Path, events: list[Event]) -> DeviceSummary:
    (device,) = summarise(read_trace(write_trace(tmp_path / "t.json", events))).devices
    return device


def two_streams(gap: float = 300.0) -> list[Event]:
    """Kernels of 100 µs on stream 7 and, over half of the second, on stream 9; then a late one."""
    return [
        annotation("forward", 0, 500),
        operator("aten::mm", 1, 30),
        launch(10, 1),
        kernel("first", 100, 100, 1),
        launch(20, 2),
        kernel("second", 200, 100, 2),
        launch(25, 3),
        kernel("beside", 250, 50, 3, stream=9),
        operator("aten::linear", 290 + gap, 10),
        launch(295 + gap, 4),
        kernel("late", 300 + gap, 100, 4),
    ]


def test_lanes_hold_what_ran_on_each_stream_and_thread(tmp_path: Path) -> None:
    axis = only_device(tmp_path, two_streams()).axis
    assert axis is not None
    assert axis.length_ns == 600_000
    lanes = {lane.name: lane.busy for lane in (*axis.streams, *axis.threads)}
    assert list(lanes) == ["stream 7", "stream 9", "thread 0 (main)"]
    slices = len(axis.busy)
    time_us = {name: sum(busy) * 600 / slices for name, busy in lanes.items()}
    assert time_us["stream 7"] == pytest.approx(300, abs=1)
    assert time_us["stream 9"] == pytest.approx(50, abs=1)
    assert [span.name for span in axis.phases] == ["forward"]


def test_gaps_say_when_why_and_what_ended_them(tmp_path: Path) -> None:
    axis = only_device(tmp_path, two_streams()).axis
    assert axis is not None
    (gap,) = axis.gaps
    assert (gap.start_ns, gap.end_ns) == (200_000, 500_000)
    assert (gap.after, gap.ended_by, gap.launched_by) == ("second", "late", "aten::linear")
    assert gap.cause == "launch"
    assert gap.cause_share == 1.0


@needs_traces
@pytest.mark.parametrize("name", RECORDED)
def test_slices_add_up_to_the_exact_account(name: str) -> None:
    for device in summarise(read_trace(TRACES / name)).accounts:
        axis = device.axis
        assert axis is not None
        slices = len(axis.busy)
        slack = 0.002  # each share has three digits
        assert sum(axis.busy) / slices == pytest.approx(device.busy_ns / device.span_ns, abs=slack)
        for cause, time in device.idle_by_cause_ns.items():
            share = sum(axis.idle_by_cause.get(cause, ())) / slices
            assert share == pytest.approx(time / device.span_ns, abs=slack)
        for lane in (*axis.streams, *axis.threads):
            assert len(lane.busy) == slices
            assert all(0.0 <= share <= 1.0 for share in lane.busy)
        assert len(axis.streams) <= MOST_LANES
        assert len(axis.gaps) <= MOST_GAPS
        lengths = [gap.end_ns - gap.start_ns for gap in axis.gaps]
        assert lengths == sorted(lengths, reverse=True)
        assert all(0 <= gap.start_ns < gap.end_ns <= axis.length_ns for gap in axis.gaps)


def loop(slow: int) -> list[Event]:
    """A loop of 12 timesteps of two kernels; the second kernel of one timestep is late."""
    events = [annotation("forward", 0, 4_000)]
    at, number = 100.0, 0
    for timestep in range(12):
        events.append(operator("aten::lstm_cell", at - 30, 25))
        for name in ("gates", "state"):
            number += 1
            at += 80.0 * (timestep == slow and name == "state")
            events += [launch(at - 20 + 0.5 * number / 24, number), kernel(name, at, 40, number)]
            at += 50.0
    return events


def test_a_slow_timestep_leads_to_its_kernels(tmp_path: Path) -> None:
    device = only_device(tmp_path, loop(slow=5))
    assert device.recurrences, device.not_recurrent
    slowest = device.recurrences[0].slowest[0]
    assert slowest.timestep == 5
    assert slowest.latency_ns == 180_000
    assert [ran.name for ran in slowest.activities] == ["gates", "state"]
    assert [ran.idle_before_ns for ran in slowest.activities] == [0, 90_000]
    assert slowest.count == 2


def test_the_report_lists_gaps_and_opens_the_slow_timesteps(tmp_path: Path) -> None:
    summary = summarise(read_trace(write_trace(tmp_path / "t.json", loop(slow=5))))
    result = Result(kind="trace", name="t.json", summary=summary, recording=None)
    text = render(document_of(result))
    assert "| gap | start | length | cause | ended by |" in text
    assert "Timestep 5: 180 µs, 1.80 times the median" in text
    assert "state  " in text
