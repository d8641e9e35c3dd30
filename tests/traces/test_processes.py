"""Several ranks in one file: each device of each process is its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traces_fixtures import Event, annotation, kernel, launch, operator, write_trace

from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace

Rename = Callable[[int, object], object]

#: How files of ranks are told apart when they are merged: host process 1 and device 0 of rank r.
RENAMES: dict[str, Rename] = {
    "prefix": lambda rank, pid: f"[TP{rank:02d}] {pid}",
    "all but the first": lambda rank, pid: pid if rank == 0 else f"r{rank} {pid}",
    "numbers": lambda rank, pid: 100_000 * rank + int(str(pid)),
}


def one_rank(seed: int, devices: int) -> list[Event]:
    """A rank's own trace: two steps, a process 1, devices 0 …, correlations from 1 on."""
    chance = random.Random(seed)
    events, at = (
        [annotation("ProfilerStep#1", 0, 1500), annotation("ProfilerStep#2", 1500, 9000)],
        0,
    )
    free = [0] * devices
    for correlation in range(1, 25):
        at += chance.randint(1, 60)
        device = chance.randrange(devices)
        begin = max(at + chance.randint(2, 9), free[device])
        free[device] = begin + chance.randint(1, 90)
        run = kernel(f"k{chance.randrange(3)}", begin, free[device] - begin, correlation)
        run["args"]["device"] = run["pid"] = device
        if chance.random() < 0.9:
            events.append(launch(at, correlation))
        events.append(run)
    return events


def moved(events: list[Event], rank: int, by: float, rename: Rename) -> list[Event]:
    return [
        {**event, "pid": rename(rank, event["pid"]), "ts": event["ts"] + by} for event in events
    ]


def figures(device: DeviceSummary) -> tuple[object, ...]:
    return (
        device.device,
        device.span_ns,
        device.busy_ns,
        device.launchless,
        tuple(device.idle_by_cause_ns.items()),
        tuple((step.window_ns, step.busy_ns, step.launches) for step in device.steps),
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=4, unique=True),
    devices=st.integers(1, 2),
    how=st.sampled_from(sorted(RENAMES)),
    offsets=st.lists(st.integers(0, 40_000), min_size=4, max_size=4, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_each_rank_of_a_merged_file_has_the_figures_of_its_own_file(
    tmp_path: Path,
    seeds: list[int],
    devices: int,
    how: str,
    offsets: list[int],
    order: random.Random,
) -> None:
    alone, merged = [], []
    for rank, (seed, offset) in enumerate(zip(seeds, offsets, strict=False)):
        events = one_rank(seed, devices)
        path = write_trace(tmp_path / "rank.json", events)
        alone += [figures(device) for device in summarise(read_trace(path)).devices]
        merged += moved(events, rank, 50_000 * rank + offset, RENAMES[how])
    order.shuffle(merged)
    together = summarise(read_trace(write_trace(tmp_path / "merged.json", merged)))
    assert sorted(map(figures, together.devices), key=repr) == sorted(alone, key=repr)
    assert len({(one.process, one.device) for one in together.devices}) == len(alone)


def test_ranks_in_step_are_told_apart_by_names(tmp_path: Path) -> None:
    events = one_rank(3, 1)
    merged = [e for rank in range(4) for e in moved(events, rank, 0, RENAMES["prefix"])]
    (alone,) = summarise(read_trace(write_trace(tmp_path / "t.json", events))).devices
    together = summarise(read_trace(write_trace(tmp_path / "m.json", merged))).devices
    assert [figures(device) for device in together] == [figures(alone)] * 4
    assert [device.process for device in together] == [f"[TP{rank:02d}] 1" for rank in range(4)]


def test_a_second_process_that_launches_under_the_same_numbers_takes_nothing(
    tmp_path: Path,
) -> None:
    events = one_rank(5, 1)
    others = [{**launch(0, number), "pid": 2} for number in range(1, 25)]
    (alone,) = summarise(read_trace(write_trace(tmp_path / "t.json", events))).devices
    (beside,) = summarise(read_trace(write_trace(tmp_path / "m.json", events + others))).devices
    assert figures(beside) == figures(alone)


def test_processes_without_a_device_are_analysed_each(tmp_path: Path) -> None:
    events = [
        {**operator("aten::mm", 10 * i, length), "pid": pid}
        for pid, length in ((1, 2), (2, 5))
        for i in range(6)
    ]
    summary = summarise(read_trace(write_trace(tmp_path / "t.json", events)))
    assert [(one.process, one.busy_ns) for one in summary.accounts] == [
        ("1", 12_000),
        ("2", 30_000),
    ]


@pytest.mark.parametrize("kind", ["runs over its successors", "is a branch of a graph"])
def test_a_stream_does_not_overlap_but_a_graph_does(tmp_path: Path, kind: str) -> None:
    graph = kind == "is a branch of a graph"
    events = [
        event
        for i in range(20)
        for event in (
            launch(100 * i, 1 if graph else i + 1, name="cudaGraphLaunch"),
            kernel("k", 100 * i + 5, 800 if i == 3 else 10, 1 if graph else i + 1),
        )
    ]
    summary = summarise(read_trace(write_trace(tmp_path / "t.json", events)))
    (device,) = summary.devices
    (caveat,) = [one for one in summary.caveats if one.code == "stream_overlaps"]
    recorded, cut = 19 * 10_000 + 800_000 - 7 * 10_000, 19 * 10_000 + 100_000
    assert device.busy_ns == (recorded if graph else cut - 0)
    assert ("as recorded it would be 0.920 ms" in caveat.effect) is not graph


def test_one_gap_is_named_and_judged_apart(tmp_path: Path) -> None:
    events = [
        event
        for i in range(40)
        for at in [i * 10 + (100_000 if i >= 20 else 0)]
        for event in (launch(at - 50, i + 1), kernel("k", at, 10 if i % 5 else 9.5, i + 1))
    ]
    summary = summarise(read_trace(write_trace(tmp_path / "t.json", events)))
    (device,) = summary.devices
    gap = device.largest_gap
    assert gap is not None
    assert gap.length_ns == 100_000_000
    assert gap.share_of_idle > 0.99
    assert device.host.bound_by == "device"
    (caveat,) = [one for one in summary.caveats if one.code == "one_gap"]
    assert "100.000 ms" in caveat.message


def test_steps_around_steps_and_kernels_longer_than_any(tmp_path: Path) -> None:
    events = [
        annotation("ProfilerStep#0", 0, 200),
        annotation("ProfilerStep#0", 0, 100),
        annotation("ProfilerStep#1", 100, 100),
        *[event for i in range(2) for event in (launch(10 + 100 * i, i + 1),)],
        kernel("a", 20, 50, 1),
        kernel("b", 130, 900, 2),
    ]
    summary = summarise(read_trace(write_trace(tmp_path / "t.json", events)))
    codes = {caveat.code for caveat in summary.caveats}
    assert {"nested_steps", "longer_than_a_step"} <= codes
    assert [step.launches for step in summary.devices[0].steps] == [1, 1]
