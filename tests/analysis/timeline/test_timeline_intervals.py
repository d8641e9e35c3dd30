"""Interval sets against the definition: one nanosecond at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.timeline.intervals import gaps, union, union_by_group

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, set[int]]:
    start = np.array([pair[0] for pair in pairs], dtype=np.int64)
    end = start + np.array([pair[1] for pair in pairs], dtype=np.int64)
    ticks = {tick for a, n in pairs for tick in range(a, a + n)}
    return start, end, ticks


@given(PAIRS)
def test_union_and_gaps_are_what_counting_ticks_gives(pairs: list[tuple[int, int]]) -> None:
    start, end, ticks = columns(pairs)
    covered = union(start, end)
    assert covered.length == len(ticks)
    if pairs:
        assert gaps(covered).length == int(end.max() - start.min()) - len(ticks)


@given(PAIRS, PAIRS)
def test_common_part(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    first, second = columns(one), columns(other)
    common = union(first[0], first[1]).common(union(second[0], second[1]))
    assert common == len(first[2] & second[2])


@given(PAIRS, st.integers(-5, 80), st.integers(0, 40))
def test_within_a_window(pairs: list[tuple[int, int]], begin: int, length: int) -> None:
    start, end, ticks = columns(pairs)
    window = np.array([begin]), np.array([begin + length])
    inside = int(union(start, end).within(*window)[0])
    assert inside == len(ticks & set(range(begin, begin + length)))


@given(PAIRS, st.integers(-5, 80))
def test_contains(pairs: list[tuple[int, int]], tick: int) -> None:
    start, end, ticks = columns(pairs)
    assert bool(union(start, end).contains(np.array([tick]))[0]) == (tick in ticks)


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 20), st.integers(0, 4)), max_size=40),
    st.sampled_from([0, 2**61]),
)
def test_unions_by_group_are_the_unions_of_each_group(
    rows: list[tuple[int, int, int]], origin: int
) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    start, group = columns[:, 0] + origin, columns[:, 2]
    end = start + columns[:, 1]
    alone = [union(start[group == one], end[group == one]).length for one in range(5)]
    assert union_by_group(start, end, group, 5).tolist() == alone
