"""Spells of load in the rounds of several lengths (or batch sizes) at once.

Five or ten rounds of one length seldom show a spell (:mod:`seqprof.analysis.spells`): it covers all
of them, or too few to tell. Those of all lengths together do. Each length's rounds are cut in two
at their largest gap, if that is many times the noise of all. Spells they are if a chain of two
states that tend to stay (Markov) makes the order of the rounds this many times as likely as rounds
that each were slow with one and the same chance (Royall 1997, "Statistical evidence", section 1.6),
and if the runs of all lengths are few for any order (Wald and Wolfowitz 1940, Annals of
Mathematical Statistics 11). A length whose rounds are of one level adds to the first: all of them
may have been slow, or none.

So noise with outliers, two kinds of steps in any order and lengths of unlike noise are no spells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from seqprof.analysis.spells import CHANCE, GAP, noise_of_differences, ways_of_runs

#: Spells have to be this many times as likely as rounds in any order ("fairly strong evidence").
LIKELIER = 8.0
#: Shares of slow rounds, and how much a round tends to be as the one before, that are tried.
SHARES = (0.01, 0.02, 0.03, 0.05, *(step / 20 for step in range(2, 20)))
TENDENCIES = tuple(step / 20 for step in range(20))


@dataclass(frozen=True, slots=True)
class Spells:
    """What spells did to the rounds of each of ``N`` lengths, in logarithms of time.

    Attributes:
        noise: standard deviation of one round within a level.
        slower: how much each spell that was seen made slow; at least one.
        undisturbed: of each length the rounds that no spell made slow, ``[N]``; None where they
            are of one level, which may be a spell's.
    """

    noise: float
    slower: tuple[float, ...]
    undisturbed: tuple[tuple[float, ...] | None, ...]


def find_spells(rounds: Sequence[Sequence[float]]) -> Spells | None:
    """Return the spells in ``rounds``, logarithms of time in order of time, ``[N][rounds]``.

    Returns:
        None where there are none.
    """
    noise = noise_of_differences([b - a for series in rounds for a, b in pairwise(series)])
    if noise <= 0.0:
        return None
    apart: list[list[bool]] = []
    slower: list[float] = []
    undisturbed: list[tuple[float, ...] | None] = []
    for series in rounds:
        highest = below_the_gap(series, GAP * noise)
        slow = [value > highest for value in series]
        # Of the two levels, that of fewer rounds: what is rare at every length are outliers.
        apart.append(slow if 2 * sum(slow) <= len(slow) else [not one for one in slow])
        if not any(slow):
            undisturbed.append(None)
            continue
        below = tuple(value for value in series if value <= highest)
        slower.append(median([value for value in series if value > highest]) - median(below))
        undisturbed.append(below)
    if not slower or not _lasts(apart):
        return None
    return Spells(noise, tuple(slower), tuple(undisturbed))


def below_the_gap(values: Sequence[float], least: float) -> float:
    """Return the value below the largest gap; the largest of all if that is at most ``least``."""
    ordered = sorted(values)
    gap, below = max((b - a, a) for a, b in pairwise(ordered))
    return below if gap > least else ordered[-1]


def _lasts(apart: Sequence[Sequence[bool]]) -> bool:
    return _likelier(apart) >= math.log(LIKELIER) and chance_of_order_within(apart) <= CHANCE


def _likelier(apart: Sequence[Sequence[bool]]) -> float:
    """Return by how much a chain of two states is likelier than any order, as a logarithm."""
    import numpy as np

    share, tendency = np.asarray(SHARES)[:, None], np.asarray(TENDENCIES)[None]
    stay = (1 - share + tendency * share, share + tendency * (1 - share))
    total = np.zeros((len(SHARES), len(TENDENCIES)))
    for rounds in apart:
        if not any(rounds):  # a level of its own, of either state
            level = ((1 - share) * stay[0] ** (len(rounds) - 1)) + (
                share * stay[1] ** (len(rounds) - 1)
            )
            total += np.log(level)
            continue
        total += np.log(share if rounds[0] else 1 - share)
        for before, after in pairwise(rounds):
            total += np.log(stay[before] if before == after else 1 - stay[before])
    return float(total.max() - total[:, 0].max())


def chance_of_order_within(apart: Sequence[Sequence[bool]]) -> float:
    """Return how likely so few runs in all are, were the flags of each series in any order.

    Args:
        apart: flags in order of time, ``[N][values]``; a series of one kind tells nothing.
    """
    import numpy as np

    runs, ways = 0, np.ones(1)
    for rounds in apart:
        if 0 < sum(rounds) < len(rounds):
            runs += 1 + sum(a != b for a, b in pairwise(rounds))
            one = np.asarray(ways_of_runs(sum(rounds), len(rounds) - sum(rounds)), dtype=float)
            ways = np.convolve(ways, one / one.sum())
    return float(ways[: runs + 1].sum())
