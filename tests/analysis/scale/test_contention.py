"""What a scaling concludes where others had the processor: nothing, and it says what would do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from html_results import beside_a_spell, scaled, scaled_over_batches

from seqprof.analysis.scale.growth import fit_growth
from seqprof.analysis.scale.resampled import resample_medians
from seqprof.analysis.scale.scaled import summarise_scaling
from seqprof.recording import HostLoad, Recording, Trial
from seqprof.reports.formats import load as format_load
from seqprof.reports.formats import result_of

_RECORDING = scaled().recording
assert _RECORDING is not None
SCALED: Recording = _RECORDING


def load(run_delay_s: float, others_s: float = 10.2) -> HostLoad:
    """Ten seconds on two processors."""
    return HostLoad(
        window_s=10.0, process_cpu_s=8.0, machine_busy_s=8.0 + others_s, steal_s=0.0,
        involuntary_switches=0, load_average_1m=2.0, run_delay_s=run_delay_s,
    )  # fmt: skip


def changed(recording: Recording, label: str, **changes: object) -> Recording:
    """Change the first point of one candidate."""
    first = next(i for i, c in enumerate(recording.candidates) if c.label == label)
    trials: list[Trial] = list(recording.trials)
    trials[first] = replace(trials[first], **changes)  # type: ignore[arg-type]
    environment = replace(recording.environment, cores=2)
    return replace(recording, trials=tuple(trials), environment=environment)


def rounds(trial: Trial) -> list[int]:
    return sorted({step.pair for step in trial.steps})


def test_contention_at_one_point_withholds_what_it_would_carry() -> None:
    every = tuple(rounds(SCALED.trials[0]))
    recording = changed(SCALED, "lstm", host=load(12.0), contended_rounds=every)
    summary = summarise_scaling(recording)
    reason = "not measurable now: others used 51% of the processor"
    lines = {(g.label, g.phase): g.growth for g in summary.lengths}
    lstm, other = lines["lstm", "step"], lines["attention", "step"]
    assert lstm.exponent.value is lstm.marginal.value is lstm.fixed.value is None
    assert (lstm.exponent.reason or "").startswith(reason)
    assert not lstm.local_exponents
    assert len(lstm.medians_s) == len(lstm.sizes) > 1
    assert other.exponent.value is not None
    (meeting,) = (m for m in summary.crossovers if m.quantity == "step")
    assert (meeting.crossover.length.reason or "").startswith(reason)
    assert any("how a step grows is not measurable now" in s for s in summary.sentences)
    (caveat,) = (c for c in summary.caveats if c.kind == "contended_rounds")
    assert caveat.severity == "warning"


@pytest.mark.parametrize(
    ("threads", "remedy"), [(2, "1 thread would do"), (1, "fewer other programs")]
)
def test_the_remedy_is_one_that_helps(threads: int, remedy: str) -> None:
    every = tuple(rounds(SCALED.trials[0]))
    recording = changed(SCALED, "lstm", host=load(12.0), contended_rounds=every)
    candidates = tuple(replace(c, threads=threads) for c in recording.candidates)
    summary = summarise_scaling(replace(recording, candidates=candidates))
    assert any(remedy in sentence for sentence in summary.sentences)


def test_where_no_core_is_free_no_number_of_threads_would_do() -> None:
    every = tuple(rounds(SCALED.trials[0]))
    host = load(18.0, others_s=18.2)
    summary = summarise_scaling(changed(SCALED, "lstm", host=host, contended_rounds=every))
    assert any("91% of the processor; repeat it where fewer" in s for s in summary.sentences)


def test_saturation_is_withheld_in_the_table_too() -> None:
    recording = scaled_over_batches().recording
    assert recording is not None
    every = tuple(rounds(recording.trials[0]))
    busy = changed(recording, "lstm", host=load(12.0), contended_rounds=every)
    (line,) = summarise_scaling(busy).batches
    assert line.saturation.withheld
    assert line.saturation.last_lift.value is None
    shown = format_load("markdown").render([result_of(busy, "s.json")]).decode()
    assert "not reached" not in shown
    assert "where a larger batch stops to pay is not measurable now" in shown


def test_rounds_that_were_taken_again_are_left_out_and_told() -> None:
    slow = beside_a_spell(SCALED.trials[0], 8, 20.0)
    recording = changed(
        SCALED,
        "lstm",
        steps=slow.steps,
        host=load(6.0),
        contended_rounds=slow.contended_rounds,
    )
    before, after = summarise_scaling(SCALED), summarise_scaling(recording)
    assert after.points[0].step == before.points[0].step
    assert [g.growth for g in after.lengths] == [g.growth for g in before.lengths]
    (caveat,) = (c for c in after.caveats if c.kind == "contended_rounds")
    assert caveat.severity == "note"
    assert caveat.evidence.startswith("in 8 of ")


def test_a_recording_that_does_not_know_its_rounds_goes_by_the_whole() -> None:
    summary = summarise_scaling(changed(SCALED, "lstm", host=load(6.0)))
    lstm = next(g.growth for g in summary.lengths if g.label == "lstm")
    assert lstm.exponent.value is None
    quiet = summarise_scaling(changed(SCALED, "lstm", host=load(0.5)))
    assert next(g.growth for g in quiet.lengths if g.label == "lstm").exponent.value is not None


def test_rounds_that_resemble_their_neighbours_widen_the_fits() -> None:
    """The same values, in an order that shows a spell and in one that shows none."""
    rng = np.random.default_rng(3)
    values = np.sort(np.exp(0.05 * rng.normal(size=30)))
    mixed = rng.permutation(values)
    sizes = [64] * 30 + [128] * 30

    def width(series: np.ndarray) -> float:
        exponent = fit_growth(sizes, [*series, *(2 * series)]).exponent
        assert exponent.low is not None
        assert exponent.high is not None
        return exponent.high - exponent.low

    assert width(values) > 1.5 * width(mixed)


def test_resampled_costs_stay_positive() -> None:
    drawn = resample_medians([[1e-6, 1.0, 1.0, 1.0, 1.0, 1e3]]).drawn
    assert drawn is not None
    assert (drawn > 0.0).all()
