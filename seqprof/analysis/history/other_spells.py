"""May a slow level be one more spell of load? Judged by the other spells in the same series.

Runs are cut in two levels at their largest gap, where that is many times the noise
(:mod:`seqprof.analysis.spells`). Slow stretches other than that beside a change are spells that
were seen, if they lie together in time on either side of it (runs test). If spells end at any time
with one and the same chance, their lengths are exponential, and k of them with S runs in all give
the chance that one more lasts L runs at least: (1 + L / S) to the power -(k + 1), where every rate
is as likely beforehand (Geisser 1993, "Predictive Inference"). One that touches an end of the
series counts as if it ended there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from seqprof.analysis.spells import CHANCE, FEWEST_IN_LEVEL, GAP, neighbours_noise
from seqprof.analysis.spells_together import below_the_gap, chance_of_order_within


def chance_of_one_more(logs: Sequence[float], change: int) -> float:
    """Return how likely a spell lasts as long as the slow level beside ``change``.

    Args:
        logs: logarithms of the values in order of time, ``[N]``, N >= 2.
        change: the first value of the level after it, 1 <= change < N.

    Returns:
        0 where no other spell was seen.
    """
    flags = _slow(logs)
    if chance_of_order_within([flags[:change], flags[change:]]) > CHANCE:
        return 0.0
    slow = _stretches(flags)
    own = [stop - start for start, stop in slow if change in (start, stop)]
    others = [stop - start for start, stop in slow if change not in (start, stop)]
    if not own or not others:
        return 0.0
    return float((1 + own[0] / sum(others)) ** -(len(others) + 1))


def _slow(logs: Sequence[float]) -> list[bool]:
    """Return which values lie above the largest gap; none where no gap is wide enough."""
    highest = below_the_gap(logs, GAP * neighbours_noise(logs))
    return [value > highest for value in logs]


def _stretches(slow: Sequence[bool]) -> list[tuple[int, int]]:
    """Return (start, stop) of each slow stretch of two runs at least.

    A single run of the other kind neither makes a stretch nor ends one.
    """
    flags = list(slow)
    for index in range(1, len(flags) - 1):
        if flags[index - 1] == flags[index + 1]:
            flags[index] = flags[index - 1]
    edges = [0, *(i for i in range(1, len(flags)) if flags[i] != flags[i - 1]), len(flags)]
    return [
        (start, stop)
        for start, stop in pairwise(edges)
        if flags[start] and stop - start >= FEWEST_IN_LEVEL
    ]
