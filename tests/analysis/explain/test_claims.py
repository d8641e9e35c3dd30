"""Every verdict flips where its claim is made false; none is there before the test."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from html_results import beside_a_spell, depth, scaled, scaled_by, scaled_over_batches

from seqprof.analysis.depth.model_depth import derive
from seqprof.analysis.explain.claim import Claim
from seqprof.analysis.explain.facts import Cascade, ExplainFacts, Influence, Reachable, Subjected
from seqprof.analysis.explain.summary import Explanation, explain
from seqprof.measure.candidates import resolve
from seqprof.measure.depth.counted import record_lengths
from seqprof.measure.depth.subjects import config_subject
from seqprof.measure.explain.influence import try_influence
from seqprof.measure.trial.kernel_latency import assume
from seqprof.recording import HostLoad, Recording


@cache
def subjected(name: str) -> Subjected:
    """A model of argument_models, its graph and its effects as `explain` finds them."""
    word = f"argument_models:{name}"
    [made] = resolve([word], None, ["data.seq_len=32", "data.batch_size=4"])
    subject = config_subject(made.spec, made.folder, word, None)
    recorded, _ = record_lengths(subject, [32], lambda _: None)
    return Subjected(
        label=name,
        depth=derive(recorded, assume()),
        influence=try_influence(made.spec, made.folder),
    )


def facts(
    *candidates: Subjected, scaling: Recording | None = None, **changes: object
) -> ExplainFacts:
    made = ExplainFacts(
        command="seqprof explain",
        created="2026-01-01",
        budget_s=60.0,
        base=(64, 16),
        candidates=candidates,
        assumptions=assume(),
        reachable=Reachable(size=1000, precision="fp32", seconds=(0.02,) * 7),
        cascade=Cascade(reason="no module is called once per timestep"),
        scaling=scaling,
        scaling_reason=None if scaling else "ended before it",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def claim(found: Explanation, number: int) -> Claim:
    return next(one for one in found.claims if one.number == number)


def test_a_recurrence_has_the_chain() -> None:
    found = explain(facts(subjected("recurrence")))
    assert claim(found, 1).verdict == "shown"
    assert claim(found, 2).verdict == "shown"


@pytest.mark.parametrize("name", ["recurrence", "step_by_step", "without_modules"])
def test_the_gradient_of_a_recurrence_is_never_said_to_end(name: str) -> None:
    """However it takes tokens to numbers: where that cannot be followed, it is said so."""
    influence = subjected(name).influence
    if name == "without_modules":
        assert influence.gradient_reaches is None
        assert influence.gradient_reason is not None
    else:
        assert influence.gradient_reaches == tuple(range(influence.timesteps))


def test_a_loop_that_ignores_its_state_has_none() -> None:
    found = explain(facts(subjected("forgetful")))
    assert claim(found, 1).verdict == "not_seen"
    assert claim(found, 2).verdict == "not_seen"
    assert claim(found, 3).verdict == "not_seen"
    assert subjected("forgetful").influence.effects[0].changed == (0,)


def test_attention_passes_changes_on_and_still_has_no_chain() -> None:
    one = subjected("attention")
    assert set(one.influence.effects[0].changed) == set(range(one.influence.timesteps))
    assert claim(explain(facts(one)), 1).verdict == "not_seen"


def test_what_looks_ahead_is_not_taken_for_causal() -> None:
    found = claim(explain(facts(subjected("looks_ahead"))), 1)
    assert found.verdict == "not_seen"
    assert "before it" in found.because


@pytest.mark.parametrize(
    ("other", "verdict"), [("attention", "shown"), ("attention_with_loop", "not_seen")]
)
def test_a_hidden_loop_is_found_in_attention(other: str, verdict: str) -> None:
    found = explain(facts(subjected("recurrence"), subjected(other)))
    assert claim(found, 7).verdict == verdict


@pytest.mark.parametrize(
    ("fixed_s", "power", "verdict"),
    [(0.01, 1.0, "shown"), (0.03, 1.6, "not_seen"), (0.0, 0.5, "not_seen")],
)
def test_a_fixed_cost_of_each_step_hides_no_growth(
    fixed_s: float, power: float, verdict: str
) -> None:
    """One power law over all is below linear in each of these."""
    made = scaled_by(lambda t: fixed_s + 0.008 * (t / 64) ** power)
    judged = claim(explain(facts(planted("lstm"), scaling=made.recording)), 4)
    assert judged.verdict == verdict
    assert f"above a fixed cost of each step, as T to the {power:.2f}" in judged.because


def test_rounds_in_which_others_had_the_processor_move_no_power() -> None:
    made = scaled_by(lambda t: 0.008 * t / 64).recording
    assert made is not None
    index, longest = max(enumerate(made.trials), key=lambda pair: pair[1].workload.sizes)
    disturbed = beside_a_spell(longest, 30, 9.0)
    trials = (*made.trials[:index], disturbed, *made.trials[index + 1 :])
    calm, beside = (
        claim(explain(facts(planted("lstm"), scaling=scaling)), 4)
        for scaling in (made, replace(made, trials=trials))
    )
    assert calm.verdict == beside.verdict == "shown"
    assert calm.because == beside.because


def test_a_step_that_does_not_grow_is_not_linear() -> None:
    made = scaled_by(lambda _: 0.02)
    found = claim(explain(facts(planted("lstm"), scaling=made.recording)), 4)
    assert found.verdict == "not_seen"
    assert "at longer T it may show: --set data.seq_len=256" in found.because


@pytest.mark.parametrize(
    ("came", "verdict"), [((3.0, 2.0, 1.0), "shown"), ((1.0, 2.0, 3.0), "not_seen")]
)
def test_the_order_of_the_gradients_decides(came: tuple[float, ...], verdict: str) -> None:
    cascade = Cascade(module="cell", forward_s=((0.0, 0.1),) * 3, gradient_s=came)
    found = explain(facts(subjected("recurrence"), cascade=cascade))
    assert claim(found, 3).verdict == verdict


def planted(label: str) -> Subjected:
    return Subjected(label=label, depth=depth(label).summary.models[0])


@pytest.mark.parametrize(("label", "verdict"), [("lstm", "shown"), ("attention", "not_seen")])
def test_time_that_grows_as_the_square_is_not_linear(label: str, verdict: str) -> None:
    """In the recording lstm takes 1 ms x T, attention 5 us x T squared."""
    found = explain(facts(planted(label), scaling=scaled().recording))
    assert claim(found, 4).verdict == verdict


def test_a_batch_that_costs_little_runs_in_parallel_and_one_that_saturates_at_once_not() -> None:
    made = scaled_over_batches().recording
    assert made is not None
    found = explain(facts(planted("lstm"), scaling=made))
    assert claim(found, 5).verdict == "shown"
    slow = tuple(
        replace(
            trial,
            steps=tuple(
                replace(step, wall_s=0.01 * trial.workload.sizes[1]) for step in trial.steps
            ),
        )
        for trial in made.trials
    )
    found = explain(facts(planted("lstm"), scaling=replace(made, trials=slow)))
    assert claim(found, 5).verdict == "not_seen"


@pytest.mark.parametrize(("share", "verdict"), [(0.1, "shown"), (0.9, "not_seen")])
def test_the_share_of_a_matrix_product_decides(share: float, verdict: str) -> None:
    made = scaled().recording
    assert made is not None
    trial = made.trials[2]  # lstm at T = 64
    flops, step_s = trial.workload.flops_per_step, sorted(s.wall_s for s in trial.steps)[6]
    assert flops is not None
    seconds = 2.0 * 1000**3 / (flops / step_s / share)
    reachable = Reachable(size=1000, precision="fp32", seconds=(seconds,) * 7)
    found = explain(facts(planted("lstm"), scaling=made, reachable=reachable))
    assert claim(found, 6).verdict == verdict


def beside_others(made: Recording, waited: float) -> Recording:
    """The same, measured while threads waited this share of the time for a processor."""
    host = HostLoad(
        window_s=1.0,
        process_cpu_s=1.0,
        machine_busy_s=None,
        steal_s=0.0,
        involuntary_switches=None,
        load_average_1m=None,
        run_delay_s=waited,
    )
    trials = tuple(replace(trial, host=host) for trial in made.trials)
    return replace(made, trials=trials)


@pytest.mark.parametrize(("waited", "told"), [(0.0, True), (0.05, True), (0.6, False)])
def test_what_others_may_have_moved_is_in_no_verdict(waited: float, told: bool) -> None:
    lengths, batches = scaled().recording, scaled_over_batches().recording
    assert lengths is not None
    assert batches is not None
    for number, made in ((4, lengths), (5, batches)):
        found = claim(explain(facts(planted("lstm"), scaling=beside_others(made, waited))), number)
        assert found.verdict == ("shown" if told else "not_testable")
        assert ("others used the processor" in found.because) != told


def test_a_spent_budget_names_the_others_load() -> None:
    spent = Subjected(label="x", depth_reason="the budget was spent before it")
    for load, said in ((2.0, False), (9.0, True)):
        found = claim(explain(facts(spent, load_average_1m=load, cores=2)), 1)
        assert found.verdict == "not_testable"
        assert ("load average 9 on 2 cores" in found.because) == said


def test_without_measurements_each_claim_says_why() -> None:
    nothing = Subjected(
        label="x", depth_reason="no shapes", influence=Influence(timesteps=0, reason="no input")
    )
    for one in explain(facts(nothing)).claims:
        assert one.verdict == "not_testable"
        assert one.because


def test_figures_are_those_of_scale() -> None:
    result = scaled()
    found = explain(facts(planted("lstm"), scaling=result.recording))
    growth = next(
        line.growth
        for line in result.summary.lengths
        if line.label == "lstm" and line.phase == "step"
    )
    assert claim(found, 4).figures[0].estimate == growth.marginal


def test_a_floor_by_the_devices_own_operators_is_told_only_where_they_were_counted() -> None:
    """The law counts other operators, of which the device merges some."""
    one = planted("lstm")
    assert one.depth is not None
    own = replace(one.depth.at.step, depth_ops=50)
    merged = derive(replace(one.depth.recorded, on_device=own), assume())
    found = explain(facts(replace(one, depth=merged), scaling=scaled().recording, base=(64, 16)))
    floors = [figure.estimate for figure in claim(found, 6).figures if figure.derived]
    counted_at = merged.at.timesteps
    assert [floor.value is not None for floor in floors] == [
        timesteps == counted_at for timesteps in sorted({64, longest_of(found)})
    ]
    assert all(str(counted_at) in (floor.reason or "") for floor in floors if floor.value is None)
    assert any(floor.value is None for floor in floors)


def longest_of(found: Explanation) -> int:
    assert found.scaled is not None
    return max(point.timesteps for point in found.scaled.points)
