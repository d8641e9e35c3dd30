"""Which point of a scaling is visited next, and which is not even tried; on a clock of the test."""

import math

import pytest
from example_recordings import environment, workload
from hypothesis import given
from hypothesis import strategies as st

from seqprof.measure.faults import Failure
from seqprof.measure.scale import FIRST_ROUNDS, MOST_ROUNDS, NARROW, Turns, why_not_tried
from seqprof.measure.workers.entry import Entry
from seqprof.measure.workers.messages import Prepared
from seqprof.recording import HostLoad
from seqprof.spec import Spec


def visits(
    widths: list[float], costs_s: list[float], budget_s: float, seed: int = 0, least: int = 1
) -> tuple[list[int], float]:
    """Visit points of constant widths, each for its cost; returns the order and what is left."""
    turns, order = Turns(len(widths), seed, least), list[int]()
    while True:
        index = turns.next(range(len(widths)), budget_s, widths.__getitem__, costs_s.__getitem__)
        if index is None:
            return order, budget_s
        turns.taken[index] += 1
        order.append(index)
        budget_s -= costs_s[index]


@given(seed=st.integers(0, 2**16), points=st.integers(1, 12))
def test_the_first_rounds_visit_every_point_once_each(seed: int, points: int) -> None:
    order, _ = visits([0.0] * points, [1.0] * points, 1e9, seed)
    assert len(order) == FIRST_ROUNDS * points
    for start in range(0, len(order), points):
        assert sorted(order[start : start + points]) == list(range(points))


def test_every_round_has_an_order_of_its_own() -> None:
    order, _ = visits([0.0] * 8, [1.0] * 8, 1e9)
    rounds = {tuple(order[start : start + 8]) for start in range(0, len(order), 8)}
    assert len(rounds) == FIRST_ROUNDS
    assert order == visits([0.0] * 8, [1.0] * 8, 1e9)[0]  # and the seed decides it
    assert order != visits([0.0] * 8, [1.0] * 8, 1e9, seed=1)[0]


@pytest.mark.parametrize("least", [1, 4, FIRST_ROUNDS])
def test_a_spent_budget_leaves_every_point_the_least_rounds(least: int) -> None:
    order, _ = visits([0.3] * 5, [1.0] * 5, 2.5, least=least)
    assert [order.count(point) for point in range(5)] == [least] * 5


def test_what_is_left_of_the_budget_goes_to_the_widest_interval() -> None:
    order, _ = visits([NARROW / 2, 0.30, 0.10], [1.0] * 3, 3.0 * FIRST_ROUNDS + 9.5)
    assert order[3 * FIRST_ROUNDS :] == [1] * 9


def test_it_stops_when_all_is_known_well_enough_or_often_enough() -> None:
    order, left_s = visits([NARROW / 2, 0.30], [1.0, 1.0], 1e6)
    assert (order.count(0), order.count(1)) == (FIRST_ROUNDS, MOST_ROUNDS)
    assert left_s > 0.0


@given(
    points=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 5.0)), min_size=1, max_size=6),
    budget_s=st.floats(0.0, 60.0),
)
def test_the_budget_is_kept_but_for_one_visit_of_each_point(
    points: list[tuple[float, float]], budget_s: float
) -> None:
    costs_s = [cost for _, cost in points]
    order, left_s = visits([width for width, _ in points], costs_s, budget_s)
    assert set(order) == set(range(len(points)))
    assert left_s >= -sum(costs_s) - 1e-9


def test_a_point_that_failed_is_not_visited_again() -> None:
    turns = Turns(2, 0)
    assert [turns.next([1], 1.0, lambda _: 1.0, lambda _: 0.1) for _ in range(3)] == [1, 1, 1]
    assert turns.next([], 1.0, lambda _: 1.0, lambda _: 0.1) is None


def test_a_disturbed_round_is_taken_again() -> None:
    turns, order = Turns(2, 0), list[int]()
    for _ in range(100):
        index = turns.next([0, 1], 1e6, lambda _: 0.0, lambda _: 1.0)
        if index is None:
            break
        order.append(index)
        turns.taken[index] += 1
        turns.disturbed[index] += index == 0 and turns.taken[0] <= 4
    assert (order.count(0), order.count(1)) == (FIRST_ROUNDS + 4, FIRST_ROUNDS)


def test_rounds_that_are_always_disturbed_end() -> None:
    turns = Turns(1, 0)
    while turns.next([0], 1e6, lambda _: math.inf, lambda _: 1.0) is not None:
        turns.taken[0] += 1
        turns.disturbed[0] += 1
    assert turns.taken == [MOST_ROUNDS]


@pytest.mark.parametrize(("waited_s", "tried"), [(0.5, False), (8.0, True)])
def test_nothing_is_planned_after_what_was_disturbed(waited_s: float, tried: bool) -> None:
    """Batch 2 took 14 s to warm up, by which batch 64 would take 434 s."""
    known = entry(16, 2)
    known.draft.prepared = prepared(
        HostLoad(
            window_s=13.6,
            process_cpu_s=20.0,
            machine_busy_s=27.0,
            steal_s=0.0,
            involuntary_switches=900,
            load_average_1m=2.5,
            run_delay_s=waited_s,
        )
    )
    known.prepare_s = 13.6
    found = why_not_tried(entry(16, 64), [known], 45.0)
    assert (found is None) == tried
    if found:
        assert "435 s" in found.detail


def prepared(host: HostLoad) -> Prepared:
    return Prepared(
        workload=workload(), environment=environment(), timer_resolution_s=1e-7,
        warmup_wall_s=(0.6, 0.56), host=host,
    )  # fmt: skip


def entry(timesteps: int, batch: int, contender: int = 0) -> Entry:
    data = {"seq_len": timesteps, "batch_size": batch}
    spec = Spec.model_validate({"model": {"name": "lstm"}, "data": data})
    return Entry(contender, "lstm", spec)


@pytest.mark.parametrize(
    ("timesteps", "batch", "contender", "tried"),
    [(64, 4, 0, False), (32, 8, 0, False), (64, 2, 0, True), (16, 8, 0, True), (64, 8, 1, True)],
)
def test_points_that_hold_one_out_of_memory_are_not_tried(
    timesteps: int, batch: int, contender: int, tried: bool
) -> None:
    short = entry(32, 4)
    short.draft.fail(Failure("out_of_memory", "planted"))
    found = why_not_tried(entry(timesteps, batch, contender), [short], math.inf)
    assert (found is None) == tried
    if found:
        assert found == Failure("out_of_memory", "not tried: T = 32 with batch 4 ran out")
