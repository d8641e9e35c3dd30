"""Per-timestep tables, slow timesteps and the balance with the phase."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_recordings import (
    CPU_PHASES,
    LOOP,
    accelerator,
    bidirectional,
    change_trial,
    cpu_cell,
    latency,
    pairs,
    workload,
)
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.run.summary import summarise
from seqprof.analysis.run.timesteps import (
    MOST_BINS,
    balance_phases,
    bins,
    slow_timesteps,
    summarise_loops,
)
from seqprof.analysis.run.verdict import per_timestep
from seqprof.analysis.stretches import MOST_POINTS, profile, stretches
from seqprof.recording import LoopFacts, LoopTiming


@given(st.integers(min_value=0, max_value=5000), st.integers(min_value=1, max_value=60))
def test_stretches_tile_the_sequence(timesteps: int, most: int) -> None:
    parts = stretches(timesteps, most)
    assert [t for part in parts for t in part] == list(range(timesteps))
    assert len(parts) == min(timesteps, most)
    if parts:
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("timesteps", [1, 3, 12, 13, 64, 4096])
def test_a_table_has_at_most_twelve_rows(timesteps: int) -> None:
    table = bins(latency("forward", 1e-4, timesteps=timesteps))
    assert len(table) == min(MOST_BINS, timesteps)
    assert (table[0].first, table[-1].last) == (0, timesteps - 1)
    assert len(profile(latency("forward", 1e-4, timesteps=timesteps).p50_s)) <= MOST_POINTS
    for part in table:
        assert part.p50_s == pytest.approx(1e-4, rel=0.05)
        assert part.low_s is not None
        assert part.p50_s is not None
        assert part.low_s < part.p50_s


@pytest.mark.parametrize("planted", [(), (0,), (40,), (3, 17, 41, 63)])
def test_just_the_planted_timesteps_stand_out(planted: tuple[int, ...]) -> None:
    made = latency("forward", 1e-4, slow=dict.fromkeys(planted, 2.0))
    assert {slow.timestep for slow in slow_timesteps(made)} == set(planted)


def test_one_preemption_names_no_timestep() -> None:
    made = latency("forward", 1e-4)
    hit = {
        name: tuple(50.0 * p if t == 7 and p else p for t, p in enumerate(getattr(made, name)))
        for name in ("p50_s", "p75_s", "p95_s")
    }
    assert slow_timesteps(replace(made, **hit)) == ()  # type: ignore[arg-type]
    rare = replace(latency("forward", 1e-4, slow={7: 9.0}), samples=(4,) * 64)
    assert slow_timesteps(rare) == ()


def test_unmarked_timesteps_are_gaps_and_no_sum_is_made_up() -> None:
    made = latency("forward", 1e-4)
    holes = replace(
        made,
        mean_s=tuple(None if t < 6 else p for t, p in enumerate(made.mean_s)),
        p50_s=tuple(None if t < 6 else p for t, p in enumerate(made.p50_s)),
        p05_s=tuple(None if t < 6 else p for t, p in enumerate(made.p05_s)),
        p25_s=tuple(None if t < 6 else p for t, p in enumerate(made.p25_s)),
        samples=(0,) * 6 + made.samples[6:],
    )
    summary = summarise_loops(change_trial(cpu_cell(), latencies=(holes,)).trials[0])[0]
    assert summary.bins[0].p50_s is None
    assert summary.profile_s[0] is None
    assert summary.sum_of_means.value is None
    assert summary.sum_of_means.reason == "6 of 64 timesteps were not marked"


def test_a_loop_without_any_mark_is_survived() -> None:
    nothing = (None,) * 64
    empty = replace(
        latency("forward", 1e-4),
        samples=(0,) * 64,
        p05_s=nothing,
        p25_s=nothing,
        p50_s=nothing,
        p75_s=nothing,
        p95_s=nothing,
    )
    summary = summarise_loops(change_trial(cpu_cell(), latencies=(empty,)).trials[0])[0]
    assert summary.p50.value is None
    assert summary.slowest == ()


def test_loops_and_remainder_make_up_the_phase() -> None:
    for made in (cpu_cell(), bidirectional(), accelerator()):
        for balance in balance_phases(made.trials[0]):
            assert balance.loop_time.value is not None
            assert balance.remainder.value is not None
            whole = balance.loop_time.value + balance.remainder.value
            assert whole == pytest.approx(balance.phase_time.value, rel=1e-9)
            assert balance.loop_time.value == pytest.approx(0.93 * whole, rel=1e-9)


def test_loops_inside_one_another_are_not_added_up() -> None:
    made = cpu_cell()
    steps = tuple(
        replace(
            step,
            loops=(
                *step.loops,
                *(
                    LoopTiming(loop="inner", phase=loop.phase, host_s=loop.host_s * 0.98)
                    for loop in step.loops
                ),
            ),
        )
        for step in made.trials[0].steps
    )
    for balance in balance_phases(replace(made.trials[0], steps=steps)):
        assert balance.loop_time.value is None
        assert balance.remainder.value is None
        assert "overlap" in (balance.remainder.reason or "")


def test_micro_batches_count_in_the_sum() -> None:
    made = change_trial(cpu_cell(), workload=workload(micro_batches=3))
    once, thrice = (summarise_loops(r.trials[0])[1].sum_of_means.value for r in (cpu_cell(), made))
    assert once is not None
    assert thrice == pytest.approx(3 * once)


def test_a_loop_knows_its_span_in_the_probed_steps() -> None:
    steps = pairs(CPU_PHASES, noise=0.0, perturbation=0.0)
    forward = summarise_loops(change_trial(cpu_cell(), steps=steps).trials[0])[0]
    assert forward.loop == LOOP
    assert forward.span.value == pytest.approx(0.93 * CPU_PHASES["forward"])
    assert forward.operations.value == 16


def test_a_timestep_costs_what_a_timestep_of_the_data_does() -> None:
    """A span that handles two timesteps is the price of two; loops over layers add up."""
    one = cpu_cell()
    facts = LoopFacts(
        loop=LOOP, timesteps=128, calls=64, rule="one for 2 timesteps", positions=64,
        timesteps_per_position=2,
    )  # fmt: skip
    halves = change_trial(one, loops=(facts,))
    for phase in ("forward", "backward"):
        whole, half = (per_timestep(summarise(made), phase) for made in (one, halves))
        assert whole is not None
        assert half is not None
        assert whole.value is not None
        assert half.value == pytest.approx(whole.value / 2)
    assert "loop over 128 timesteps" in summarise(halves).verdict.sentences[0]


def test_a_row_says_how_often_its_least_measured_timestep_was_measured() -> None:
    made = latency("forward", 1e-3, timesteps=64)
    fewer = replace(made, samples=tuple(range(64, 0, -1)))
    assert [part.samples for part in bins(fewer)] == [64 - part.last for part in bins(fewer)]
