"""What `compare` and `scale` make of a recording: caveats that are there with their cause only."""

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
from example_recordings import quiet_host
from html_results import compared, scaled

from seqprof.analysis.compare.compared import noisy, summarise_comparison
from seqprof.analysis.scale.scaled import summarise_scaling
from seqprof.recording import Candidate, Incident, Recording, Trial
from seqprof.reports.formats import Result


def _recording(result: Result) -> Recording:
    assert result.recording is not None
    return result.recording


COMPARED, SCALED = _recording(compared()), _recording(scaled())


def change(
    recording: Recording, label: str, how: Callable[[Trial], Trial], timesteps: int | None = None
) -> Recording:
    """Change the trials of one candidate."""
    trials = tuple(
        how(trial)
        if candidate.label == label and timesteps in (None, trial.workload.timesteps)
        else trial
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    )
    return replace(recording, trials=trials)


def kinds(recording: Recording) -> list[str]:
    """Return what a comparison warns of, but for the planted lack of memory."""
    found = summarise_comparison(recording).caveats
    return [caveat.kind for caveat in found if caveat.kind != "out_of_memory"]


def shaken(trial: Trial) -> Trial:
    """Every other step takes a third longer."""
    return replace(
        trial,
        steps=tuple(
            replace(step, wall_s=step.wall_s * (4 / 3 if index % 2 else 1))
            for index, step in enumerate(trial.steps)
        ),
    )


def test_a_quiet_comparison_has_nothing_to_warn_of_and_a_verdict_for_each() -> None:
    summary = summarise_comparison(COMPARED)
    assert kinds(COMPARED) == []
    standings = [[c.standing for c in length.candidates] for length in summary.lengths]
    assert standings == [["baseline", "faster", "failed"]] * 2
    assert not any(noisy(c.step) for length in summary.lengths for c in length.candidates)
    lstm = summary.lengths[0].candidates[0]
    assert lstm.tokens_per_s.value == pytest.approx(64 * 16 / (lstm.step.value or 0.0))


def test_wide_intervals_are_marked_and_told_once_where_they_are() -> None:
    recording = change(COMPARED, "attention", shaken, 128)
    assert kinds(recording) == ["noisy"]
    summary = summarise_comparison(recording)
    wide = [[noisy(c.step) for c in length.candidates] for length in summary.lengths]
    assert wide == [[False] * 3, [False, True, False]]
    (caveat,) = (c for c in summary.caveats if c.kind == "noisy")
    assert caveat.evidence.endswith(": attention at T = 128")


def test_below_six_rounds_nothing_is_concluded_in_words_either() -> None:
    recording = COMPARED
    for label in ("lstm", "attention"):
        recording = change(
            recording, label, lambda t: replace(t, steps=tuple(s for s in t.steps if s.pair < 3))
        )
    first, _ = summarise_comparison(recording).sentences
    assert "attention not told apart: 3 rounds are too few" in first


def test_batches_of_different_sizes_are_told() -> None:
    recording = change(
        COMPARED, "attention", lambda t: replace(t, workload=replace(t.workload, batch_size=8))
    )
    assert kinds(recording) == ["different_sizes"]


def contended(trial: Trial, waited: float, rounds: Collection[int]) -> Trial:
    """Others had the processor in some rounds; threads waited this share of the whole time."""
    busy_s = quiet_host().process_cpu_s + 10.0
    host = replace(quiet_host(), window_s=10.0, machine_busy_s=busy_s, run_delay_s=10.0 * waited)
    return replace(trial, host=host, contended_rounds=tuple(rounds))


def test_rounds_in_which_others_had_the_processor_are_left_out() -> None:
    """Attention takes a third of the time; in four rounds of it, many times as long."""

    def disturbed(trial: Trial) -> Trial:
        steps = tuple(
            replace(step, wall_s=9.0 * step.wall_s) if step.pair < 4 else step
            for step in trial.steps
        )
        return contended(replace(trial, steps=steps), 0.4, range(4))

    recording = change(COMPARED, "attention", disturbed)
    assert kinds(recording) == ["other_load", "contended_rounds"]
    for length in summarise_comparison(recording).lengths:
        attention = length.candidates[1]
        assert attention.against_baseline is not None
        assert attention.against_baseline.verdict == "faster"
        assert attention.against_baseline.rounds == attention.step.n == 8


@pytest.mark.parametrize(("waited", "verdict"), [(0.4, "faster"), (0.8, "inconclusive")])
def test_where_others_had_all_rounds_only_what_waiting_cannot_make_is_told(
    waited: float, verdict: str
) -> None:
    """A third of the time, though its own threads waited less, is no more than waiting may do."""
    recording = change(COMPARED, "lstm", lambda t: contended(t, waited, range(12)), 64)
    summary = summarise_comparison(recording)
    against = summary.lengths[0].candidates[1].against_baseline
    assert against is not None
    assert against.verdict == verdict
    assert (against.withheld is not None) == (verdict == "inconclusive")
    assert against.ratio.value == pytest.approx(0.32, rel=0.05)
    assert ("not measurable now" in summary.sentences[0]) == (verdict == "inconclusive")


def test_waiting_for_one_another_is_not_laid_on_others() -> None:
    """No other program ran: the threads are too many, and the rounds are as good as any."""
    crowded = replace(quiet_host(), window_s=10.0, run_delay_s=6.0)
    recording = change(COMPARED, "lstm", lambda t: replace(t, host=crowded), 64)
    summary = summarise_comparison(recording)
    against = summary.lengths[0].candidates[1].against_baseline
    assert against is not None
    assert (against.verdict, against.withheld) == ("faster", None)
    assert kinds(recording) == ["crowded"]


@pytest.mark.parametrize(("threads", "told"), [((2, 2, 2), []), ((2, 1, 2), ["different_threads"])])
def test_threads_that_differ_are_told(threads: tuple[int, ...], told: list[str]) -> None:
    def given(candidate: Candidate, index: int) -> Candidate:
        return replace(candidate, threads=threads[index % 3])

    candidates = tuple(given(c, index) for index, c in enumerate(COMPARED.candidates))
    assert kinds(replace(COMPARED, candidates=candidates)) == told


def test_an_interruption_of_all_is_told_once() -> None:
    ctrl_c = Incident(kind="interrupted", detail="Ctrl-C")
    recording = COMPARED
    for label in ("lstm", "attention"):
        recording = change(recording, label, lambda t: replace(t, incidents=(*t.incidents, ctrl_c)))
    assert kinds(recording) == ["interrupted"]


def test_a_planted_growth_and_crossing_are_found() -> None:
    summary = summarise_scaling(SCALED)
    steps = {line.label: line.growth for line in summary.lengths if line.phase == "step"}
    assert steps["lstm"].marginal.value == pytest.approx(1e-3, rel=0.02)
    assert steps["attention"].exponent.value == pytest.approx(2.0, abs=0.02)
    meeting = next(m for m in summary.crossovers if m.quantity == "step").crossover
    assert (meeting.length.low or 0.0) <= 200.0 <= (meeting.length.high or 0.0)
    assert not meeting.extrapolated
    assert [caveat.kind for caveat in summary.caveats] == []


def shrinking(recording: Recording, tokens: int) -> Recording:
    """Give every length the batch that makes it so many tokens."""
    return replace(
        recording,
        trials=tuple(
            replace(t, workload=replace(t.workload, batch_size=tokens // t.workload.sizes[0]))
            for t in recording.trials
        ),
    )


@pytest.mark.parametrize(("tokens", "told"), [(1024, []), (1000, ["uneven_tokens"])])
def test_tokens_that_are_not_constant_are_told(tokens: int, told: list[str]) -> None:
    summary = summarise_scaling(shrinking(SCALED, tokens))
    assert {line.batch_size for line in summary.lengths} == {None}
    assert [caveat.kind for caveat in summary.caveats] == told


def test_points_that_the_budget_left_out_are_told_with_their_number() -> None:
    def skipped(trial: Trial) -> Trial:
        incident = Incident(kind="budget_spent", detail="not tried: planted")
        return replace(trial, steps=(), incidents=(incident,))

    recording = change(change(SCALED, "lstm", skipped, 256), "lstm", skipped, 512)
    (caveat,) = summarise_scaling(recording).caveats
    assert caveat.kind == "budget_spent"
    assert "T = 256" in caveat.evidence
    assert "1 other size" in caveat.evidence
