"""What a tracker is given of a result: nothing made up, nothing lost but what was not measured."""

from __future__ import annotations

import pytest
from example_recordings import ALL, accelerator, cpu_cell, cpu_fused, long, nothing_measured

from seqprof.integrations.trackers.entries import MOST_TIMESTEP_POINTS, Entries, entries
from seqprof.recording import Recording
from seqprof.reports.formats import result_of


def entries_of(recording: Recording) -> Entries:
    return entries(result_of(recording, "a test"))


def test_headline_values_are_those_of_the_rows() -> None:
    recording = cpu_cell()
    rows = result_of(recording, "a test").rows()
    found = entries_of(recording)
    step = next(row.value for row in rows if row.metric == "step_time")
    forward = next(r.value for r in rows if r.metric == "phase_time" and r.phase == "forward")
    assert found.scalars["step_time_s"] == step
    assert found.scalars["phase_time_s/forward/host"] == forward


@pytest.mark.parametrize("name", ALL)
def test_every_known_value_is_there_once_and_no_other(name: str) -> None:
    recording = ALL[name]()
    rows = [
        row
        for row in result_of(recording, "a test").rows(MOST_TIMESTEP_POINTS)
        if row.kernel is None and row.value is not None
    ]
    found = entries_of(recording)
    points = [value for points in found.series.values() for _, value in points]
    assert sorted([*found.scalars.values(), *points]) == sorted(row.value or 0.0 for row in rows)


def test_the_series_runs_over_the_timesteps() -> None:
    recording = cpu_cell()
    (latency,) = (x for x in recording.trials[0].latencies if x.phase == "backward")
    series = entries_of(recording).series
    name = f"timestep_latency_p50_s/backward/{latency.loop}/host"
    assert series[name] == tuple(enumerate(latency.p50_s))


def test_what_was_not_measured_is_absent_and_named() -> None:
    found = entries_of(cpu_fused())
    assert not any(name.startswith("nvml_utilization") for name in found.scalars)
    assert "no accelerator: `nvml_utilization/data`" in found.notes
    assert not found.series


def test_nothing_measured_logs_nothing() -> None:
    found = entries_of(nothing_measured())
    assert "step_time_s" not in found.scalars
    assert "`step_time_s`" in found.notes


def test_loops_and_clocks_have_series_of_their_own() -> None:
    recording = accelerator()
    names = {name for name in entries_of(recording).series if "_p50_" in name}
    assert len(names) == len(recording.trials[0].latencies)


def test_a_long_sequence_shares_points_and_says_so() -> None:
    found = entries_of(long())
    assert 0 < sum(map(len, found.series.values())) <= MOST_TIMESTEP_POINTS
    assert "median of neighbouring timesteps" in found.notes


def test_spec_and_environment_are_parameters() -> None:
    found = entries_of(cpu_cell()).parameters
    assert found["spec.model.hidden_size"] == 256
    assert found["environment.device.kind"] == "cpu"
    assert None not in found.values()


def test_caveats_are_in_the_notes_with_their_remedy() -> None:
    result = result_of(cpu_cell(), "a test")
    notes = entries(result).notes
    assert result.summary.caveats
    for caveat in result.summary.caveats:
        assert caveat.text in notes
        assert caveat.remedy in notes
