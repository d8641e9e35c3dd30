"""What a timeline says: goldens of recorded traces, hand-made traces, and invariants."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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

from seqprof.analysis.timeline.accounts import Account
from seqprof.analysis.timeline.summary import DeviceSummary, TraceSummary, summarise
from seqprof.traces.kineto import read_trace


def analysed(tmp_path: Path, events: list[Event], **beside: Any) -> TraceSummary:
    return summarise(read_trace(write_trace(tmp_path / "t.json", events, **beside)))


def only_device(summary: TraceSummary) -> DeviceSummary:
    (device,) = summary.devices
    return device


def causes(account: Account | DeviceSummary) -> dict[str, int]:
    return {cause: time for cause, time in account.idle_by_cause_ns.items() if time}


def check_account(account: Account | DeviceSummary, window_ns: int) -> None:
    assert 0 <= account.busy_ns <= window_ns
    assert account.idle_ns == window_ns - account.busy_ns
    assert sum(account.idle_by_cause_ns.values()) == account.idle_ns
    assert min(account.idle_by_cause_ns.values()) >= 0
    assert account.idle_fraction is None or 0 <= account.idle_fraction <= 1


def check_parts(whole: Account | DeviceSummary, parts: list[Account], window_ns: int) -> None:
    assert sum(part.window_ns for part in parts) == window_ns
    assert sum(part.idle_ns for part in parts) == whole.idle_ns
    assert sum(part.busy_ns for part in parts) == whole.busy_ns
    for cause, time in whole.idle_by_cause_ns.items():
        assert sum(part.idle_by_cause_ns[cause] for part in parts) == time


def check_device(device: DeviceSummary) -> None:
    """Causes sum to idle, phases tile steps, steps tile the span, nothing is above 100 %."""
    check_account(device, device.span_ns)
    check_parts(device, list(device.phases), device.span_ns)
    steps: list[Account] = [*device.steps]
    if device.outside_steps is not None:
        check_parts(device, [*steps, device.outside_steps], device.span_ns)
    for step in device.steps:
        check_account(step, step.window_ns)
        check_parts(step, list(step.phases), step.window_ns)
        assert 0 <= step.host_working_ns <= step.host_ns
    for phase in device.phases:
        check_account(phase, phase.window_ns)
        assert 0 <= phase.own_busy_ns <= device.busy_ns
    assert sum(kernel.share for kernel in device.kernels) <= 1 + 1e-9
    assert device.busy_launched_only_ns <= device.busy_ns
    for transfer in device.transfers:
        assert 0 <= transfer.overlapped_ns <= transfer.busy_ns <= device.busy_ns
    for collective in device.collectives:
        assert collective.overlapped_ns + collective.exposed_ns == collective.busy_ns
        assert min(collective.overlapped_ns, collective.exposed_ns) >= 0
    starved = device.host.starved_fraction
    assert starved is None or 0 <= starved <= 1
    for found in device.recurrences:
        assert min(*found.latency_ns, *found.gap_ns) >= 0
        assert 0 < found.coverage <= 1


def check(summary: TraceSummary) -> None:
    for device in summary.devices:
        check_device(device)
    if summary.processor is not None:
        check_device(summary.processor)


@needs_traces
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_traces_equal_their_goldens(name: str) -> None:
    golden = json.loads((TRACES / "goldens.json").read_text())[name]
    summary = summarise(read_trace(TRACES / name))
    assert summary.profiler_steps == golden["profiler_steps"]
    assert {str(device.device) for device in summary.devices} == set(golden["devices"])
    for device in summary.devices:
        expected: Mapping[str, Any] = golden["devices"][str(device.device)]
        assert {
            "activities": device.activities,
            "span_ns": device.span_ns,
            "busy_ns": device.busy_ns,
            "idle_ns": device.idle_ns,
            "idle_fraction": round(device.idle_fraction or 0.0, 6),
            "launchless": device.launchless,
            "busy_launched_only_ns": device.busy_launched_only_ns,
        } == expected
    check(summary)


@needs_traces
@pytest.mark.parametrize(
    ("name", "phase", "microseconds"),
    [
        ("nccl_data", "forward", 38768.1),
        ("nccl_data", "backward", 116653.7),
        ("nccl_data", "optimizer", 2078.3),
        ("control", "forward", 134894.0),
        ("control", "backward", 200610.0),
        ("control", "optimizer", 7642.0),
        ("df_index_resolver", "backward", 768827.0),
    ],
)
def test_busy_by_phase_of_recorded_traces(name: str, phase: str, microseconds: float) -> None:
    device = only_device(summarise(read_trace(TRACES / f"{name}.json.gz")))
    busy = {one.phase: one.own_busy_ns for one in device.phases}
    assert busy[phase] / 1000 == pytest.approx(microseconds, abs=0.1)


@needs_traces
@pytest.mark.parametrize("name", RECORDED)
def test_no_recorded_trace_has_a_recurrence(name: str) -> None:
    """They are convolutional, recommendation and Transformer models; Qwen has 24 equal layers."""
    summary = summarise(read_trace(TRACES / name))
    for device in (*summary.devices, *filter(None, [summary.processor])):
        assert device.recurrences == ()
        assert device.not_recurrent


@needs_traces
def test_the_starved_trace_is_data_bound_and_the_small_one_launch_bound() -> None:
    starved = summarise(read_trace(TRACES / "resnet50_workers0_old_schema.json.gz"))
    small = summarise(read_trace(TRACES / "h100_bert_small.json.gz"))
    assert only_device(starved).host.bound_by == "data"
    assert only_device(small).host.launch_bound


def test_each_cause_of_a_gap(tmp_path: Path) -> None:
    events = [
        launch(0, 1),
        launch(1, 2),
        kernel("a", 10, 10, 1),  # until 20
        kernel("b", 23, 7, 2),  # queued at 1: 3 of dependency; until 30
        launch(30, 90, 10, "cudaStreamSynchronize"),  # waits until 40
        launch(44, 3),
        kernel("c", 46, 4, 3),  # 10 of sync, 6 of launch; until 50
        annotation("enumerate(DataLoader)#Iter.__next__", 50, 20),
        launch(75, 4),
        kernel("d", 80, 5, 4),  # 20 of data, 10 of launch; until 85
        kernel("e", 90, 10, None),  # 5 unknown; until 100
        annotation("nccl:barrier", 100, 7),
        launch(108, 5),
        kernel("f", 110, 1, 5),  # 7 of communication, 3 of launch
    ]
    device = only_device(analysed(tmp_path, events))
    assert causes(device) == {
        "dependency": 3_000,
        "sync": 10_000,
        "launch": 19_000,
        "data": 20_000,
        "unknown": 5_000,
        "communication": 7_000,
    }
    check_device(device)


def test_item_of_a_tensor_on_the_host_is_no_wait(tmp_path: Path) -> None:
    events = [
        launch(0, 1),
        kernel("a", 1, 1, 1),
        operator("aten::item", 5, 10),
        launch(20, 2),
        kernel("b", 21, 1, 2),
    ]
    assert causes(only_device(analysed(tmp_path, events))) == {"launch": 19_000}
    copy = launch(6, 9, 1, "cudaMemcpyAsync")
    wait = launch(7, 10, 7, "cudaStreamSynchronize")
    waited = only_device(analysed(tmp_path, [*events, copy, wait]))
    assert causes(waited) == {"sync": 10_000, "launch": 9_000}


def test_a_pageable_copy_blocks_the_host(tmp_path: Path) -> None:
    copy = {**kernel("Memcpy HtoD (Pageable -> Device)", 11, 2, 2), "cat": "gpu_memcpy"}
    events = [
        launch(0, 1),
        kernel("a", 1, 4, 1),
        launch(10, 2, 20, "cudaMemcpyAsync"),
        copy,
        launch(31, 3),
        kernel("b", 33, 1, 3),
    ]
    # After the copy (13) the host is inside the blocking call until 30.
    assert causes(only_device(analysed(tmp_path, events))) == {"launch": 9_000, "sync": 17_000}


def two_phase_step(backward_thread: int) -> list[Event]:
    return [
        annotation("ProfilerStep#3", 0, 100),
        annotation("## forward ##", 0, 20),
        annotation("## backward ##", 20, 20),
        annotation("Optimizer.step#SGD.step", 40, 20),
        launch(5, 1),
        {**launch(25, 2), "tid": backward_thread},
        launch(45, 3),
        kernel("f", 10, 30, 1),
        kernel("b", 50, 100, 2),
        kernel("o", 160, 10, 3),
    ]


@pytest.mark.parametrize("backward_thread", [1, 77])
def test_windows_reach_from_the_end_of_earlier_work(tmp_path: Path, backward_thread: int) -> None:
    device = only_device(analysed(tmp_path, two_phase_step(backward_thread)))
    phases = {one.phase: (one.window_ns, one.busy_ns, one.idle_ns) for one in device.phases}
    assert phases == {
        "forward": (30_000, 30_000, 0),
        "backward": (110_000, 100_000, 10_000),
        "optimizer": (20_000, 10_000, 10_000),
    }
    (step,) = device.steps
    assert (step.step, step.window_ns, step.idle_ns) == ("ProfilerStep#3", 160_000, 20_000)
    check_device(device)


def test_work_of_two_phases_that_overlaps_counts_once_in_the_windows(tmp_path: Path) -> None:
    events = two_phase_step(1)
    events.append(kernel("late copy", 60, 30, 1, stream=8))  # launched by the forward
    device = only_device(analysed(tmp_path, events))
    own = {one.phase: one.own_busy_ns for one in device.phases}
    assert own == {"forward": 60_000, "backward": 100_000, "optimizer": 10_000}
    assert device.busy_ns == 140_000
    check_device(device)


def test_collectives_and_what_hides_them(tmp_path: Path) -> None:
    events = [
        launch(0, 1),
        launch(1, 2),
        kernel("gemm", 10, 10, 1),
        kernel("ncclDevKernel_AllReduce_Sum_f32", 15, 20, 2, stream=20),
    ]
    (collective,) = only_device(analysed(tmp_path, events)).collectives
    assert (collective.overlapped_ns, collective.exposed_ns) == (5_000, 15_000)


def test_one_graph_launch_starts_many_kernels(tmp_path: Path) -> None:
    events = [launch(0, 1, name="cudaGraphLaunch")]
    events += [kernel(f"k{index % 2}", 5 + 10 * index, 9, 1) for index in range(20)]
    device = only_device(analysed(tmp_path, events))
    assert device.host.launches == 1
    assert device.launchless == 0
    assert causes(device) == {"dependency": 19_000}


def caveat_codes(summary: TraceSummary) -> set[str]:
    return {caveat.code for caveat in summary.caveats}


def without(event: Event, *arguments: str) -> Event:
    args = {key: value for key, value in event["args"].items() if key not in arguments}
    return {**event, "args": args}


#: A caveat; events that deserve it and, all but that, events that do not; what else they deserve.
DEFECTS: list[tuple[str, list[Event], list[Event], set[str]]] = [
    ("launchless", [kernel("x", 175, 1, 99)], [kernel("x", 175, 1, 3)], set()),
    (
        "missing_correlations",
        [kernel("x", 175, 1, None)],
        [kernel("x", 175, 1, 3)],
        {"launchless"},
    ),
    ("stream_overlaps", [kernel("x", 60, 5, 2)], [kernel("x", 60, 5, 2, stream=8)], set()),
    (
        "empty_steps",
        [annotation("ProfilerStep#4", 200, 10)],
        [annotation("ProfilerStep#4", 200, 10), launch(205, 9), kernel("x", 206, 1, 9)],
        set(),
    ),
    (
        "clock_outliers",
        [kernel("x", 10_000_000, 1, 9), launch(9_999_990, 9)],
        [kernel("x", 500, 1, 9), launch(490, 9)],
        set(),
    ),
    ("zero_durations", [kernel("x", 175, 0, 3)], [kernel("x", 175, 0.001, 3)], set()),
    ("negative_durations", [launch(70, 8, -1)], [launch(70, 8, 0)], set()),
    (
        "starts_before_launch",
        [kernel("x", 5, 1, 9), launch(7.5, 9)],
        [kernel("x", 5, 1, 9), launch(6.5, 9)],  # within what the clocks agree to
        set(),
    ),
    ("long_dependencies", [kernel("x", 1_171, 9, 3)], [kernel("x", 1_169, 9, 3)], set()),
    ("untimed_events", [{**launch(70, 8), "ts": None}], [{**launch(70, 8), "ts": "70"}], set()),
    (
        "unknown_device",
        [{**without(kernel("x", 175, 1, 3), "device"), "pid": "python"}],
        [{**without(kernel("x", 175, 1, 3), "device"), "pid": "0"}],
        set(),
    ),
]


@pytest.mark.parametrize(
    ("code", "bad", "good", "besides"), DEFECTS, ids=[defect[0] for defect in DEFECTS]
)
def test_a_defect_is_a_caveat_and_its_neighbour_is_none(
    tmp_path: Path, code: str, bad: list[Event], good: list[Event], besides: set[str]
) -> None:
    events = two_phase_step(1)
    found = analysed(tmp_path, [*events, *bad])
    assert caveat_codes(found) == {code} | besides
    assert all(caveat.message and caveat.effect for caveat in found.caveats)
    assert caveat_codes(analysed(tmp_path, [*events, *good])) == set()


def test_what_the_profiler_says_of_lost_events_is_a_caveat(tmp_path: Path) -> None:
    events = two_phase_step(1)
    assert caveat_codes(analysed(tmp_path, events)) == set()
    lost = analysed(tmp_path, events, WARNING=["2026 Dropped 17 activity records"])
    assert caveat_codes(lost) == {"profiler_warning"}
    other = analysed(tmp_path, events, WARNING=["2026 the config file was not found"])
    assert caveat_codes(other) == set()


def test_without_marks_of_steps_it_is_said(tmp_path: Path) -> None:
    assert caveat_codes(analysed(tmp_path, two_phase_step(1)[1:])) == {"no_steps"}


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("truncated", lambda text: text[:-30]),
        ("damaged_events", lambda text: text.replace('"dur": 100', '"dur": [100]', 1)),
        ("repaired_text", lambda text: text.replace('"bytes": 1', '"bytes": nan')),
    ],
)
def test_a_fault_of_the_file_is_a_caveat(
    tmp_path: Path, code: str, damage: Callable[[str], str]
) -> None:
    last = operator("aten::mm", 98, 1)
    last["args"] = {"bytes": 1}
    path = write_trace(tmp_path / "t.json", [*two_phase_step(1), last])
    assert caveat_codes(summarise(read_trace(path, partial=True))) == set()
    path.write_text(damage(path.read_text()))
    assert code in caveat_codes(summarise(read_trace(path, partial=True)))


def test_a_kernel_of_an_unknown_device_is_no_operator(tmp_path: Path) -> None:
    event = {"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 2}
    summary = analysed(tmp_path, [event])
    assert summary.processor is None
    device = only_device(summary)
    assert (device.device, device.title, device.busy_ns) == (-1, "Device unknown", 2_000)


def test_without_a_device_operators_stand_in_and_it_is_said(tmp_path: Path) -> None:
    summary = analysed(tmp_path, [operator("aten::mm", 0, 5), operator("aten::mm", 8, 5)])
    assert summary.devices == ()
    assert summary.processor is not None
    assert (summary.processor.device, summary.processor.idle_ns) == (None, 3_000)
    assert "no_device_activity" in caveat_codes(summary)


TIMES = st.one_of(
    st.integers(-5, 200),
    st.floats(-5, 200),
    st.integers(0, 200).map(str),
    st.sampled_from([None, "soon", "nan", "-inf", 2**70, 1e300, "1e400", True]),
)
NAMES = st.one_of(
    st.sampled_from(
        [
            "ProfilerStep#1", "ProfilerStep#2", "## forward ##", "## backward ##", "Optimizer.step",
            "enumerate(DataLoader)#x", "nccl:all_reduce", "aten::item", "cudaStreamSynchronize",
            "autograd::engine::evaluate_function: MulBackward0", "torch::autograd::AccumulateGrad",
            "nn.Module: LSTMCell_0", "ncclDevKernel_x", "Memcpy HtoD (Pageable -> Device)", "k",
        ]
    ),
    st.text(max_size=8),
    st.none(),
)  # fmt: skip
CATEGORIES = [
    "kernel", "gpu_memcpy", "gpu_memset", "cpu_op", "cuda_runtime", "user_annotation", "Kernel",
    "Operator", "Runtime", "python_function", "ac2g", None, "\x00",
]  # fmt: skip
SMALL = st.one_of(st.integers(-1, 6), st.sampled_from(["7", "stream 7", None, 2**80, 1.5]))
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "ph": st.sampled_from(["X", "X", "X", "X", "i", "M", None]),
        "cat": st.sampled_from(CATEGORIES),
        "name": NAMES,
        "pid": SMALL,
        "tid": SMALL,
        "ts": TIMES,
        "dur": TIMES,
        "args": st.fixed_dictionaries(
            {},
            optional={
                "device": SMALL,
                "stream": SMALL,
                "correlation": SMALL,
                "Sequence number": SMALL,
                "bytes": SMALL,
            },
        ),
    },
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(EVENTS, max_size=40), st.randoms(use_true_random=False))
def test_event_soups_keep_the_invariants(tmp_path: Path, events: list[Event], order: Any) -> None:
    events = [operator("aten::mm", 0, 1), *events]  # or it would be no trace at all
    summary = analysed(tmp_path, events)
    check(summary)
    shuffled = list(events)
    order.shuffle(shuffled)
    again = analysed(tmp_path, shuffled)
    assert [d.idle_by_cause_ns for d in again.devices] == [
        d.idle_by_cause_ns for d in summary.devices
    ]
    assert [d.phases for d in again.devices] == [d.phases for d in summary.devices]


NANOS = st.integers(0, 400)
ACTIVITIES = st.lists(st.tuples(NANOS, st.integers(0, 60), NANOS, st.integers(7, 9)), min_size=1)
WINDOWS = st.lists(
    st.tuples(
        st.sampled_from(["ProfilerStep#1", "## forward ##", "## backward ##", "loss", "data"]),
        NANOS,
        st.integers(0, 200),
    ),
    max_size=8,
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["cudaStreamSynchronize", "cudaFree", "cudaEventQuery"]),
        NANOS,
        st.integers(0, 60),
    ),
    max_size=6,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ACTIVITIES, WINDOWS, CALLS)
def test_busy_soups_keep_the_invariants(
    tmp_path: Path, activities: Any, windows: Any, calls: Any
) -> None:
    """Soups in which every event is valid, so that all of them reach the analysis."""
    # A stream each: what outlasts its successor on a stream is cut (test_processes).
    events = [kernel("k", start, n, i, stream=i) for i, (start, n, *_) in enumerate(activities)]
    events += [launch(at, i) for i, (_, _, at, _) in enumerate(activities) if i % 5]
    events += [annotation(*window) for window in windows]
    events += [launch(at, 1000 + i, n, name) for i, (name, at, n) in enumerate(calls)]
    summary = analysed(tmp_path, events)
    check(summary)
    ticks = {tick for start, n, _, _ in activities for tick in range(start, start + n)}
    assert only_device(summary).busy_ns == 1000 * len(ticks)
