"""A profiled pass from recorded and from planted traces, and the clocks that it ties."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from example_recordings import accelerator, change_trial
from stored_results import document_of
from terminal import shown
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

from seqprof.analysis.run.summary import summarise
from seqprof.analysis.timeline.alignment import align
from seqprof.analysis.timeline.profiled import (
    NO_KERNELS,
    NO_OPERATORS,
    NO_STEPS,
    CallWindow,
    profiled_pass,
)
from seqprof.recording import ProfiledPass, Trial
from seqprof.store import dumps, loads
from seqprof.traces.kineto import read_own_trace, read_trace

T = 4
#: µs of a planted step: kernels of 3 every 10 in the forward, pairs of 5 and 4 in the backward.
STEP_US = 200.0


def planted_step(step: int, correlation: int) -> list[Event]:
    """One step: data 0…10, forward 10…50, loss 50…60, backward 60…140, optimizer 140…180."""
    at = step * STEP_US
    phases = {
        "data": (0, 10), "forward": (10, 50), "loss": (50, 60), "backward": (60, 140),
        "optimizer": (140, 180),
    }  # fmt: skip
    events = [annotation(f"ProfilerStep#{step}", at, 190)]
    events += [annotation(f"seqprof.{name}", at + a, b - a) for name, (a, b) in phases.items()]
    kernels = [(10 + 10 * t, 3) for t in range(T)] + [(51, 2)]
    for t in range(T):
        kernels += [(60 + 20 * t, 5), (70 + 20 * t, 4)]
    kernels.append((150, 20))
    for index, (start, length) in enumerate(kernels):
        key = correlation + index
        events.append(launch(at + start + 1, key))
        events.append(kernel(f"k{index}", at + start + 3, length, key))
    return events


def planted(path: Path, steps: int = 3) -> Path:
    events = [event for step in range(steps) for event in planted_step(step, 1 + 100 * step)]
    return write_trace(path, events)


def windows(steps: int = 3) -> list[CallWindow]:
    made = []
    for step in range(steps):
        at = int(step * STEP_US * 1000)
        for t in range(T):
            forward, backward = at + 10_000 * (1 + t), at + 60_000 + 20_000 * (T - 1 - t)
            made.append(CallWindow("cell", "forward", t, forward, forward + 10_000))
            made.append(CallWindow("cell", "backward", t, backward, backward + 20_000))
    return made


def ns(values: Any) -> list[int | None]:
    return [None if value is None else round(value * 1e9) for value in values]


def test_a_planted_pass_to_the_nanosecond(tmp_path: Path) -> None:
    made = profiled_pass(read_trace(planted(tmp_path / "t.json.gz")), windows(), device=0)
    assert made.reason is None
    assert made.steps == 2  # the first bounds the second
    assert made.whole is not None
    busy = {"forward": T * 3, "loss": 2, "backward": T * 9, "optimizer": 20}
    assert {p.phase: round(p.busy_s * 1e9) for p in made.phases} == {
        phase: us * 1000 for phase, us in busy.items()
    }
    assert round(made.whole.busy_s * 1e9) == sum(busy.values()) * 1000
    assert round(made.whole.window_s * 1e9) == int(STEP_US * 1000)
    assert made.whole.activities == T + 1 + 2 * T + 1
    forward, backward = sorted(made.timesteps, key=lambda loop: loop.phase, reverse=True)
    assert (forward.phase, backward.phase) == ("forward", "backward")
    assert forward.activities == (1.0,) * T
    assert ns(forward.busy_s) == [3000] * T
    # Timestep 0 reaches back to the optimizer's kernel of the step before.
    assert ns(forward.idle_s) == [213_000 - 173_000, 7000, 7000, 7000]
    assert backward.activities == (2.0,) * T
    assert ns(backward.busy_s) == [9000] * T
    # Timestep T-1 comes first: its window begins where the loss' kernel ends.
    assert ns(backward.idle_s) == [11_000, 11_000, 11_000, 77_000 - 56_000 - 9000]


def test_what_the_profiler_does_between_synchronized_steps_is_nobodys(tmp_path: Path) -> None:
    recorded = read_trace(planted(tmp_path / "t.json.gz"))
    made = profiled_pass(msgspec.structs.replace(recorded, synchronized=True), windows(), device=0)
    assert made.whole is not None
    # From the step's first phase to the end of its last kernel; 27 of 200 us lie between steps.
    assert round(made.whole.window_s * 1e9) == 173_000
    assert round(sum(phase.window_s for phase in made.phases) * 1e9) == 173_000
    by_phase = {phase.phase: round(phase.idle_s * 1e9) for phase in made.phases}
    assert by_phase["forward"] == 46_000 - T * 3000  # up to its last kernel, data included
    forward = next(loop for loop in made.timesteps if loop.phase == "forward")
    assert ns(forward.idle_s) == [13_000, 7000, 7000, 7000]


@pytest.mark.parametrize(("early_us", "said"), [(1.5, False), (3.0, True)])
def test_clocks_agree_to_two_microseconds(tmp_path: Path, early_us: float, said: bool) -> None:
    """A kernel that starts a little before its launch is the clocks' doing, and no defect."""
    events = planted_step(0, 1)
    for event in events:
        if event["cat"] == "cuda_runtime" and event["args"]["correlation"] == 1:
            event["ts"] += 2 + early_us  # its kernel starts 2 us after it
    made = profiled_pass(read_trace(write_trace(tmp_path / "t.json", events)), device=0)
    assert any("before the launch" in text for text in made.quality) == said


def test_unmarked_timesteps_are_null_and_windows_need_no_order(tmp_path: Path) -> None:
    timeline = read_trace(planted(tmp_path / "t.json"))
    some = [window for window in reversed(windows()) if window.timestep != 2]
    made = profiled_pass(timeline, some, device=0)
    for loop in made.timesteps:
        assert [value is None for value in loop.activities] == [False, False, True, False]
        assert [value is None for value in loop.idle_s] == [False, False, True, False]


def test_windows_of_the_bounding_step_do_not_count(tmp_path: Path) -> None:
    timeline = read_trace(planted(tmp_path / "t.json"))
    assert profiled_pass(timeline, windows(1), device=0).timesteps == ()


def test_what_holds_nothing_has_a_reason(tmp_path: Path) -> None:
    unnamed = [annotation("ProfilerStep#1", 0, 100), launch(10, 1), kernel("k", 15, 5, 1)]
    assert (
        profiled_pass(read_trace(write_trace(tmp_path / "k.json", unnamed))).reason == NO_OPERATORS
    )
    only_host = [annotation("ProfilerStep#1", 0, 100), operator("aten::mm", 10, 5)]
    host = read_trace(write_trace(tmp_path / "host.json", only_host))
    assert profiled_pass(host, device=0).reason == NO_KERNELS
    assert profiled_pass(host).reason is None
    other = read_trace(planted(tmp_path / "other.json"))
    assert profiled_pass(other, device=1).reason == NO_KERNELS
    unstepped = [launch(0, 1), kernel("k", 5, 5, 1)]
    timeline = read_trace(write_trace(tmp_path / "unstepped.json", unstepped))
    assert profiled_pass(timeline, device=0).reason == NO_STEPS


def test_an_own_trace_that_recorded_nothing_says_what_it_lacks(tmp_path: Path) -> None:
    """`trace` refuses such a file as another writer's; of one's own profiler that is no reason."""
    path = write_trace(tmp_path / "t.json", [annotation("ProfilerStep#1", 0, 100)])
    assert profiled_pass(read_own_trace(path)).reason == NO_OPERATORS
    reason = profiled_pass(read_own_trace(path), device=0).reason
    assert reason == NO_KERNELS
    assert "nsys" in reason  # who may hold it, and how to hear Kineto's own reason
    assert "KINETO_LOG_LEVEL=0" in reason


@needs_traces
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_traces(name: str) -> None:
    golden = json.loads((TRACES / "goldens.json").read_text())[name]
    timeline = read_trace(TRACES / name)
    devices: list[int | None] = [int(index) for index in golden["devices"]] or [None]
    for device in devices:
        made = profiled_pass(timeline, device=device)
        if not golden["profiler_steps"]:
            assert made.reason == NO_STEPS
            continue
        assert made.reason is None
        assert made.whole is not None
        assert made.steps == max(1, golden["profiler_steps"] - 1)
        for field in ("window_s", "busy_s", "idle_s"):
            parts = sum(getattr(phase, field) for phase in made.phases)
            assert parts == pytest.approx(getattr(made.whole, field), rel=1e-9, abs=1e-12)
        for account in (made.whole, *made.phases):
            assert 0 <= account.busy_s <= account.window_s
            assert sum(account.idle_by_cause_s.values()) == pytest.approx(account.idle_s, abs=1e-12)
        if device is not None:
            assert made.launchless == golden["devices"][str(device)]["launchless"]


# The clocks


def clock_trace(path: Path, stamps: list[tuple[int, int]], delay: int, offset: int) -> Path:
    """Ranges that began ``delay`` after the stamp before them, on a clock ``offset`` ahead."""
    events = [annotation("clock", (before + delay + offset) / 1000, 0.1) for before, _ in stamps]
    return write_trace(path, [*events, operator("aten::mm", offset / 1000, 1)])


def test_clocks_are_tied_within_the_stated_error(tmp_path: Path) -> None:
    offset = 4_506_462_463_000_000
    stamps = [(5000 * i, 5000 * i + 900 + 7 * (i % 3)) for i in range(20)]
    timeline = read_trace(clock_trace(tmp_path / "t.json", stamps, 300, offset))
    tied = align(timeline, [("clock", stamps)])
    assert tied is not None
    assert tied.error_ns <= 460
    assert abs(int(tied.to_trace([77_000])[0]) - (77_000 + offset)) <= tied.error_ns


def test_drift_between_two_ties_is_interpolated(tmp_path: Path) -> None:
    """A clock that gains 1 µs in 100 ms."""
    late = 100_000_000
    early = [(i * 1000, i * 1000 + 10) for i in range(5)]
    later = [(late + i * 1000, late + i * 1000 + 10) for i in range(5)]
    events = [annotation("a", (b + 5) / 1000, 0.1) for b, _ in early]
    events += [annotation("b", (b + 1005) / 1000, 0.1) for b, _ in later]
    timeline = read_trace(write_trace(tmp_path / "t.json", [*events, operator("aten::mm", 0, 1)]))
    tied = align(timeline, [("a", early), ("b", later)])
    assert tied is not None
    assert tied.to_trace(np.array([0, late // 2, late])) == pytest.approx(
        [0, late // 2 + 500, late + 1000], abs=tied.error_ns + 1
    )


def test_clocks_that_cannot_be_tied(tmp_path: Path) -> None:
    stamps = [(1000, 1100), (2000, 2100)]
    timeline = read_trace(clock_trace(tmp_path / "t.json", stamps, 50, 0))
    assert align(timeline, [("other", stamps)]) is None
    assert align(timeline, [("clock", stamps[:1])]) is None  # one range too many in the trace
    assert align(timeline, []) is None


# In the recording and its report


def with_profile(made: ProfiledPass) -> Any:
    return change_trial(accelerator(), profile=made)


@pytest.fixture
def on_device(tmp_path: Path) -> ProfiledPass:
    made = profiled_pass(read_trace(planted(tmp_path / "t.json")), windows(), device=0)
    return replace(made, wall_s=(0.04, 0.041, 0.039), clock_error_s=4e-7)


def report(recording: Any) -> str:
    return shown(recording)


def test_busy_seconds_are_held_against_unprofiled_times(on_device: ProfiledPass) -> None:
    idle = {entry.phase: entry for entry in summarise(with_profile(on_device)).idle}
    step = idle["step"]
    assert on_device.whole is not None
    assert step.time.value is not None
    assert step.profiled_busy_fraction.value == pytest.approx(70 / 200)
    assert step.busy_fraction.value == pytest.approx(on_device.whole.busy_s / step.time.value)
    assert idle["forward"].idle_source == "busy_fraction"
    assert idle["forward"].nvml_utilization.value == pytest.approx(0.22)  # and is not replaced
    assert idle["data"].busy_fraction.value is None
    assert "nothing was launched" in (idle["data"].busy_fraction.reason or "")


def test_the_slowdown_is_told(on_device: ProfiledPass) -> None:
    summary = summarise(with_profile(on_device))
    assert summary.profile is not None
    bare = sorted(s.wall_s for s in accelerator().trials[0].steps if s.kind == "bare")
    middle = (bare[len(bare) // 2 - 1] + bare[len(bare) // 2]) / 2
    assert summary.profile.slowdown.value == pytest.approx(0.04 / middle)
    assert "profiler_slowed" in [caveat.kind for caveat in summary.caveats]
    assert summary.step == summarise(accelerator()).step  # bare times stay the headline
    near = replace(on_device, wall_s=(middle,))
    assert "profiler_slowed" not in [c.kind for c in summarise(with_profile(near)).caveats]


def test_the_report_shows_it(on_device: ProfiledPass) -> None:
    text = " ".join(report(with_profile(on_device)).split())
    assert "Idle by cause" in text
    assert "Of 2 steps under torch.profiler" in text
    assert "kernel" in text
    assert "times as long as bare ones" in text


def test_a_failure_is_null_with_its_reason() -> None:
    recording = with_profile(ProfiledPass(on="device", reason="CUPTI_ERROR_INSUFFICIENT_PRIV"))
    idle = {entry.phase: entry for entry in summarise(recording).idle}
    assert idle["step"].busy_fraction.value is None
    assert idle["step"].busy_fraction.reason == "CUPTI_ERROR_INSUFFICIENT_PRIV"
    assert "Not measured: CUPTI_ERROR_INSUFFICIENT_PRIV" in report(recording)


def test_an_older_recording_still_reads(on_device: ProfiledPass) -> None:
    recording = with_profile(on_device)
    stored = document_of(recording)
    assert loads(stored, "x") == recording
    document = json.loads(stored)
    del document["recording"]["trials"][0]["profile"]
    older = loads(json.dumps(document).encode(), "x")
    assert older.trials[0].profile is None
    assert summarise(older).profile is None
    assert Trial.__dataclass_fields__["profile"].default is None
    assert dumps(older)
