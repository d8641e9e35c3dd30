"""The trace against the rules of the Trace Event Format, and against the recording."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from example_recordings import ALL, bidirectional
from format_results import HOSTILE, hostile_run, small, small_accelerator
from html_results import every_kind

from seqprof.recording import PHASES
from seqprof.reports.exports.chrome import CHROME
from seqprof.reports.formats import Result, result_of

Event = dict[str, Any]


def events_of(*results: Result) -> list[Event]:
    document = json.loads(CHROME.render(results), parse_constant=pytest.fail)
    assert document["displayTimeUnit"] in ("ms", "ns")
    events: list[Event] = document["traceEvents"]
    check(events)
    return events


def check(events: Sequence[Event]) -> None:
    """Assert what the format's description demands and its readers rely on.

    Fields of each type of event; times in µs, sorted; a name for each process and each thread that
    has events; complete events of a thread nested: neither sticks out of the other.
    """
    named = {(e["name"], e["pid"], e["tid"]) for e in events if e["ph"] == "M"}
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    assert all(time >= 0 for time in times)
    for event in events:
        assert event["ph"] in "XCMi"
        assert isinstance(event["name"], str)
        assert event["name"]
        assert isinstance(event["pid"], int)
        assert ("process_name", event["pid"], 0) in named
        if event["ph"] in "Xi":
            assert ("thread_name", event["pid"], event["tid"]) in named
        check_own_fields(event)
    check_nesting(events)


def check_own_fields(event: Event) -> None:
    """Assert what only one type of event has."""
    if event["ph"] == "X":
        assert event["dur"] >= 0
    if event["ph"] == "i":
        assert event["s"] in "gpt"
    if event["ph"] == "C":
        assert all(isinstance(v, int | float) for v in event["args"].values())


def check_nesting(events: Sequence[Event]) -> None:
    """Assert that the complete events of a thread nest."""
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["dur"]))
    for spans in threads.values():
        open_until: list[float] = []
        for start, length in spans:
            while open_until and open_until[-1] <= start:
                open_until.pop()
            # Exact: floating-point microseconds as a reader adds them.
            assert not open_until or start + length <= open_until[-1]
            open_until.append(start + length)


@pytest.mark.parametrize("name", ALL)
def test_rules_of_every_recording(name: str) -> None:
    assert events_of(result_of(ALL[name](), f"{name}.json"))


@pytest.mark.parametrize("kind", ["run", "compare", "scale"])
def test_rules_of_every_kind(kind: str, tmp_path: Path) -> None:
    assert events_of(every_kind(tmp_path)[kind])


def test_real_recordings() -> None:
    """Of real runs: truncated BPTT and gradient accumulation sum phases over parts of a step."""
    from seqprof.reports.stored import read

    for path in sorted((Path(__file__).parents[1] / "data").glob("*.json")):
        (result,) = read(path)
        assert result.recording is not None
        events = events_of(result)
        steps = [event for event in events if event.get("cat") == "step"]
        trial = result.recording.trials[0]
        assert len(steps) == len(trial.steps)
        phases = sum(e["dur"] for e in events if e.get("cat") == "phase") * 1e-6
        host = sum(timing.host_s for step in trial.steps for timing in step.phases.values())
        assert phases == pytest.approx(host, rel=1e-3)


def test_steps_and_phases_are_where_they_were(tmp_path: Path) -> None:
    result = small("run", tmp_path)
    assert result.recording is not None
    trial = result.recording.trials[0]
    events = events_of(result)
    steps = [event for event in events if event.get("cat") == "step"]
    assert [e["ts"] * 1e-6 for e in steps] == pytest.approx([s.started_at_s for s in trial.steps])
    assert [e["dur"] * 1e-6 for e in steps] == pytest.approx(
        [s.wall_s for s in trial.steps], abs=2e-7
    )
    # A step of seqprof's own has no `rollout` and no `other`: those are of foreign loops.
    own = [phase for phase in PHASES if phase in trial.steps[1].phases]
    assert len(own) == 5
    first = [e for e in events if e.get("cat") == "phase"][: len(own)]
    assert [event["name"] for event in first] == own
    assert first[1]["args"]["host_ms"] == trial.steps[1].phases["forward"].host_s * 1e3


def test_mean_timesteps_run_forward_then_back(tmp_path: Path) -> None:
    events = [e for e in events_of(small("run", tmp_path)) if e.get("cat") == "timestep"]
    assert [event["name"] for event in events] == [f"t = {t}" for t in (0, 1, 2, 3, 3, 2, 1, 0)]
    assert events[2]["dur"] == pytest.approx(2 * events[1]["dur"], rel=0.1)
    assert events[4]["ts"] == events[3]["ts"] + events[3]["dur"]


def test_a_reversed_loop_runs_the_other_way() -> None:
    events = events_of(result_of(bidirectional(), "b.json"))
    names = {e["args"]["name"]: (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    thread = names["body.layers.0.back (host clock)"]
    mine = [e for e in events if e.get("cat") == "timestep" and (e["pid"], e["tid"]) == thread]
    assert [mine[0]["name"], mine[63]["name"], mine[64]["name"]] == ["t = 63", "t = 0", "t = 0"]


def test_samples_stand_where_their_window_begins() -> None:
    events = events_of(result_of(small_accelerator(), "gpu.json"))
    samples = [(e["ts"], e["args"]["value"]) for e in events if e["ph"] == "C"]
    assert samples == [
        (2_834_000.0, 0.25),
        (2_934_000.0, 0.5),
        (3_034_000.0, 0.75),
        (3_134_000.0, 1.0),
    ]
    assert [e["name"] for e in events if e["ph"] == "i"] == ["nvml_error"]
    (dwell,) = (e for e in events if e.get("cat") == "dwell")
    assert (dwell["ts"], dwell["dur"]) == (5_000_000.0, 2_000_000.0)


def test_trials_of_a_comparison_are_on_one_clock(tmp_path: Path) -> None:
    from dataclasses import replace

    result = every_kind(tmp_path)["compare"]
    assert result.recording is not None
    trials = tuple(
        replace(trial, clock_origin_ns=10**12 + index * 10**9)
        for index, trial in enumerate(result.recording.trials)
    )
    moved = result_of(replace(result.recording, trials=trials), "c.json")
    starts = {e["pid"]: e["ts"] for e in reversed(events_of(moved)) if e.get("cat") == "step"}
    ordered = [starts[pid] for pid in sorted(starts)]
    assert [b - a for a, b in pairwise(ordered)] == [1e6, 2e6, 1e6]


def test_several_runs_are_processes_of_their_own() -> None:
    results = [result_of(ALL[name](), name) for name in ("cpu_cell", "cpu_fused", "accelerator")]
    together = events_of(*results)
    assert len(together) == sum(len(events_of(result)) for result in results)
    assert {e["pid"] for e in together} == {1, 2, 3, 4, 5}


def test_hostile_names_are_names() -> None:
    named = [e["args"]["name"] for e in events_of(hostile_run()) if e["ph"] == "M"]
    assert any("<img src=x onerror=alert(1)>" in name for name in named)
    assert HOSTILE not in named  # on one line, without control characters
