"""Where a series of measurements changed its level, and whether that lasts.

Each stretch is tested for one step (:mod:`seqprof.analysis.history.level_shift`); where there is
one, both sides are searched in turn (binary segmentation, Vostrikova 1981). A step has to be
likelier than a straight line, too, or else it may be a drift.

Other programs make slow for a while. So a level that came and went is told as one, taken out, and
the rest is searched again; and a change lasts only where the slower one of its levels has more runs
than a spell of load is assumed to last, and than any level that came and went. Of the faster one
fewer will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.history.level_shift import FEWEST, chance_of_order, likeliest_step
from seqprof.analysis.history.other_spells import chance_of_one_more
from seqprof.analysis.spells import neighbours_noise
from seqprof.analysis.statistics import median

METHOD = (
    "likelihood of correlated noise with a step over that of correlated noise alone, averaged over "
    "all places, simulated without a step; binary segmentation"
)
#: Level of each test, of one that leaves few runs on a side; the smallest change worth telling.
ALPHA, ALPHA_OF_SHORT, SMALLEST_CHANGE = 0.05, 0.01, 0.02
#: A step this many times as likely as a line is one ("fairly strong evidence", Royall 1997).
OVER_LINE = 8.0
#: Runs that the slower and the faster level of a change that lasts have. Assumed: no look at the
#: values tells a spell of load that has not ended yet, or ended, from a change. Of spells of 8
#: runs on average, lengths exponential, 4 % last 25.
SLOWER, FASTER = 25, 10
#: Runs on both sides from which a step is tested as one inside the series, not at its end; in a
#: short series this share of all.
INSIDE, INSIDE_SHARE = 20, 0.4
#: A run further from the median of those around it than this many times the noise is an outlier.
#: Where more than this share of the runs are, none is.
OUTLIER, MOST_OUTLIERS = 3.0, 0.2

Verdict = Literal["lasts", "came back", "perhaps passing", "perhaps a drift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """The series has another level from here on."""

    index: Annotated[int, Meta(description="the first value of the new level, from 0")]
    before: Annotated[float, Meta(description="median of the level before")]
    after: Annotated[float, Meta(description="median of the level from here on")]
    ratio: float
    p: Annotated[float, Meta(description="of the test for a step")]
    verdict: Annotated[
        Verdict,
        Meta(
            description="came back: a level that ended, as a spell of load does; perhaps passing: "
            "too few runs to tell; perhaps a drift: a straight line fits about as well"
        ),
    ] = "lasts"
    until: Annotated[
        int | None, Meta(description="of a level that came back, the first value after it")
    ] = None
    more_runs: Annotated[
        int | None,
        Meta(
            description="of one that may be passing, the runs of its level that are still needed "
            "to tell, at least; null where runs to come cannot tell"
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class _Step:
    """A step before ``index``, and whether a line is as likely."""

    index: int
    p: float
    drifts: bool


def find_change_points(values: Sequence[float]) -> tuple[ChangePoint, ...]:
    """Return where ``values`` changed their level, in order of time; nothing below six values.

    Args:
        values: in order of time, ``[N]``, of any unit.

    Raises:
        ValueError: a value is not positive.
    """
    if not values:
        return ()
    logs = _without_outliers([math.log(value) for value in values])
    places = list(range(len(values)))
    passed: list[ChangePoint] = []
    while True:
        inside = min(INSIDE, math.ceil(INSIDE_SHARE * len(places)))
        steps = _segment([logs[place] for place in places], inside)
        edges = [0, *(step.index for step in steps), len(places)]
        levels = [places[start:stop] for start, stop in pairwise(edges)]
        medians = [median([values[place] for place in level]) for level in levels]
        passing = _passing(medians)
        if not passing:
            break
        passed += [_passed(levels[k], medians[k - 1], medians[k], steps[k - 1].p) for k in passing]
        gone = {place for k in passing for place in levels[k]}
        places = [place for place in places if place not in gone]
    longest = max((one.until - one.index for one in passed if one.until), default=0)
    whole = [math.log(value) for value in values]
    changes = _changes(steps, levels, medians, max(SLOWER, longest + 1), whole)
    worth = [one for one in (*passed, *changes) if abs(one.ratio - 1.0) >= SMALLEST_CHANGE]
    return tuple(sorted(worth, key=lambda one: one.index))


def _changes(
    steps: Sequence[_Step],
    levels: Sequence[Sequence[int]],
    medians: Sequence[float],
    enough: int,
    logs: Sequence[float],
) -> Iterator[ChangePoint]:
    """Yield the change from each level to the next.

    It lasts where the slower level has ``enough`` runs, more than one more spell may have.
    """
    for k, (step, (before, after)) in enumerate(zip(steps, pairwise(medians), strict=True)):
        index = levels[k + 1][0]
        needed = (FASTER, enough) if after > before else (enough, FASTER)
        lack = [
            max(n - runs, 0) for n, runs in zip(needed, _sides(k, medians, levels), strict=True)
        ]
        lasts = lack == [0, 0] and chance_of_one_more(logs, index) < ALPHA
        passing = not (step.drifts or lasts)
        yield ChangePoint(
            index=index,
            before=before,
            after=after,
            ratio=after / before,
            p=step.p,
            verdict="perhaps a drift" if step.drifts else "lasts" if lasts else "perhaps passing",
            more_runs=lack[1] if passing and lack[1] and not lack[0] else None,
        )


def _without_outliers(logs: Sequence[float]) -> list[float]:
    """Return ``logs``, each moved to at most ``OUTLIER`` times the noise from those around it.

    The filter of Hampel (1974), over five runs: what three runs have in common is left alone.
    """
    if len(logs) < 2 * FEWEST:
        return list(logs)
    reach, near = OUTLIER * neighbours_noise(logs), FEWEST - 1
    around = [median(logs[max(i - near, 0) : i + near + 1]) for i in range(len(logs))]
    if reach == 0.0:
        return list(logs)
    moved = [min(max(x, m - reach), m + reach) for x, m in zip(logs, around, strict=True)]
    outliers = sum(x != y for x, y in zip(logs, moved, strict=True))
    return moved if outliers <= MOST_OUTLIERS * len(logs) else list(logs)


def _segment(logs: Sequence[float], inside: int, start: int = 0) -> list[_Step]:
    """Return the steps of ``logs``, the first of which has the place ``start``, in order.

    A step that leaves ``inside`` runs on both sides has to be one in ranks too.
    """
    import numpy as np  # 0.1 s, which nothing else pays for

    if len(logs) < 2 * FEWEST or min(logs) == max(logs):
        return []
    shift = likeliest_step(np.asarray(logs))
    p, level = shift.p, ALPHA_OF_SHORT
    if min(shift.index, len(logs) - shift.index) >= inside:
        p, level = max(p, chance_of_order(logs)), ALPHA
    if p > level or shift.over_line < -math.log(OVER_LINE):
        return []
    step = _Step(start + shift.index, p, shift.over_line < math.log(OVER_LINE))
    if step.drifts:
        return [step]
    left, right = logs[: shift.index], logs[shift.index :]
    return [*_segment(left, inside, start), step, *_segment(right, inside, step.index)]


def _passing(medians: Sequence[float]) -> list[int]:
    """Return which levels came back by half at least: the slower ones, else the faster ones."""
    inner = range(1, len(medians) - 1)
    slow = [k for k in inner if _came_back(*medians[k - 1 : k + 2])]
    return slow or [k for k in inner if _came_back(*(1 / m for m in medians[k - 1 : k + 2]))]


def _came_back(before: float, level: float, after: float) -> bool:
    return level > before and math.log(level / after) >= math.log(level / before) / 2


def _passed(level: Sequence[int], before: float, after: float, p: float) -> ChangePoint:
    return ChangePoint(
        index=level[0],
        before=before,
        after=after,
        ratio=after / before,
        p=p,
        verdict="came back",
        until=level[-1] + 1,
    )


def _sides(k: int, medians: Sequence[float], levels: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the runs before and those after step ``k``, each up to a step the other way."""
    rises = [after > before for before, after in pairwise(medians)]
    start = next((i + 1 for i in range(k, -1, -1) if rises[i] != rises[k]), 0)
    stop = next((i + 1 for i in range(k, len(rises)) if rises[i] != rises[k]), len(levels))
    before, after = levels[start : k + 1], levels[k + 1 : stop]
    return sum(map(len, before)), sum(map(len, after))
