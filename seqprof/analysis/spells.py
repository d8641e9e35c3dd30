"""Spells: stretches of measurements that another program made slow, and that last.

Of twenty rounds of which fifteen lie in a spell, the median is the spell's, and no resampling of
rounds shows that. So values are cut into levels where the gap between two neighbours in size is
many times the noise, as what follows one another differs by (so that a few changes of level do not
count as noise: Rice 1984, Annals of Statistics 12). They are spells if a level's values also lie
together in time, by the runs test (Wald and Wolfowitz 1940, Annals of Mathematical Statistics 11):
values that fall into two kinds in any order are none. What others do makes slow, hardly ever fast:
the level at which least time was taken is the undisturbed one, and an interval has to reach to it.
Of a ratio it has to where that level is the first or the last round alone: a spell of one
candidate's own may cover all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

#: A gap of so many standard deviations of the noise parts two levels.
GAP = 4.0
#: Values that make a level, and values in all from which their order in time can tell.
FEWEST_IN_LEVEL, FEWEST = 2, 10
#: Of the runs test: how likely it is that values in any order lie together so.
CHANCE = 0.10
#: Median of |difference| of two values of a normal distribution over its standard deviation.
_OF_DIFFERENCES = 0.954
_Z = 1.96


def undisturbed_level(
    values: Sequence[float], taken: Sequence[float] | None = None
) -> tuple[float, float] | None:
    """Return the interval of the median of the values that no spell made slow.

    Args:
        values: logarithms of times or of ratios, in order of time.
        taken: logarithms of the time that each took in all; None for the values themselves.

    Returns:
        (low, high); None where the values have one level, or others that do not last.
    """
    levels = _levels(values)
    if taken is None:
        taken = values
    elif not levels:
        levels = _alone_at_an_end(values, taken)
    if not levels:
        return None
    # By the lower quartile: where two candidates are alike, both may have been slowed, or neither.
    level = min(levels, key=lambda group: sorted(taken[i] for i in group)[(len(group) - 1) // 4])
    return _interval([values[index] for index in level], neighbours_noise(values))


def neighbours_noise(values: Sequence[float]) -> float:
    """Return the standard deviation of what neighbours in time differ by, one level or many."""
    return noise_of_differences([b - a for a, b in pairwise(values)])


def noise_of_differences(differences: Sequence[float]) -> float:
    """Return the standard deviation of values whose neighbours in time differ so."""
    return median([abs(difference) for difference in differences]) / _OF_DIFFERENCES


def _levels(values: Sequence[float]) -> list[list[int]]:
    """Return the indices of the values of each level; nothing where there are no spells."""
    n, noise = len(values), neighbours_noise(values) if len(values) >= FEWEST else 0.0
    if noise <= 0.0:
        return []
    order = sorted(range(n), key=values.__getitem__)
    groups = [[order[0]]]
    for before, index in pairwise(order):
        if values[index] - values[before] > GAP * noise:
            groups.append([])
        groups[-1].append(index)
    levels = [group for group in groups if len(group) >= FEWEST_IN_LEVEL]
    return levels if len(levels) > 1 and any(_lasts(group, n) for group in levels) else []


def _alone_at_an_end(values: Sequence[float], taken: Sequence[float]) -> list[list[int]]:
    """Return the first or the last round and the others, where a spell may cover all others.

    It has a level of its own, on either side of the others', and took less time than any of them.
    """
    n, gap = len(values), GAP * neighbours_noise(values) if len(values) >= FEWEST else 0.0
    for end, others in ((0, range(1, n)), (n - 1, range(n - 1))):
        rest = [values[index] for index in others]
        apart = gap > 0.0 and not min(rest) - gap <= values[end] <= max(rest) + gap
        if apart and taken[end] < min(taken[index] for index in others):
            return [[end], list(others)]
    return []


def _interval(level: Sequence[float], noise: float) -> tuple[float, float]:
    centre, half = median(level), 1.25 * _Z * noise / math.sqrt(len(level))
    return centre - half, centre + half


def _lasts(group: Sequence[int], n: int) -> bool:
    inside = set(group)
    runs = 1 + sum((a in inside) != (b in inside) for a, b in pairwise(range(n)))
    return chance_of_runs(runs, len(group), n - len(group)) <= CHANCE


def chance_of_runs(runs: int, first: int, second: int) -> float:
    """Return how likely ``runs`` or fewer are, of values of two kinds in any order."""
    return sum(ways_of_runs(first, second)[: runs + 1]) / math.comb(first + second, first)


def ways_of_runs(first: int, second: int) -> list[int]:
    """Return in how many orders ``first`` and ``second`` values make 0, 1, 2 … runs; each >= 1."""
    ways = [0, 0]
    for number in range(2, first + second + 1):
        half, odd = divmod(number, 2)
        of_first, of_second = math.comb(first - 1, half - 1), math.comb(second - 1, half - 1)
        if odd:
            more = math.comb(first - 1, half) * of_second
            ways.append(more + of_first * math.comb(second - 1, half))
        else:
            ways.append(2 * of_first * of_second)
    return ways
