"""Where the costs of two models meet.

Between measured lengths the cost is not known; a parabola and a power law through the neighbouring
medians both pass for it. Each gives a crossing, and so does each resample of the rounds: the
interval holds 95 % of the resamples under both. Beyond the longest length the last medians are
continued in the same two ways.

A spell of load that covers all rounds of one length shows in none of them. So where rounds are few,
a length counts only if its neighbours put the same model first: one alone may be a spell's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from msgspec import Meta

from seqprof.analysis.compare.comparison import expanded_level
from seqprof.analysis.dependence import FEWEST
from seqprof.analysis.scale.resampled import FEWEST_ROUNDS, percentiles, resample_medians
from seqprof.analysis.statistics import Estimate, median, missing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

METHOD = "where the medians meet, by parabola and by power law between neighbouring lengths"
#: An extrapolated crossing farther than this from the longest measured length is not given.
FARTHEST = 4.0
#: Resamples that must agree, for a crossing or for a difference.
AGREE = 0.975
#: Lengths from which the others say what one of them should be: a parabola takes three.
FEWEST_LENGTHS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """The length at which two models cost the same."""

    length: Annotated[Estimate, Meta(description="null with a reason where none is supported")]
    extrapolated: bool
    cheaper_below: Annotated[int | None, Meta(description="0: the first model; null if unknown")]


def find_crossover(
    first: Mapping[int, Sequence[float]],
    second: Mapping[int, Sequence[float]],
    *,
    exact: bool = False,
    names: tuple[str, str] = ("the first", "the second"),
) -> Crossover:
    """Find where two models' costs meet.

    Args:
        first: cost per round at each length; only lengths that both have are used.
        second: likewise, in the same unit.
        exact: costs have no noise (an allocator's memory, a published table); one each will do.
        names: what reasons call the two.

    Returns:
        The first crossing between two lengths at which different models are cheaper beyond doubt;
        else one beyond the longest length, *extrapolated*, if nearly all resamples of the rounds
        meet within four times of it; else null: there is no crossover up to there where hardly any
        resample meets, and otherwise it cannot be told.
    """
    lengths = sorted(set(first) & set(second))
    if len(lengths) < 2:
        return no_crossover(f"both were measured at {len(lengths)} lengths; two are needed")
    import numpy as np

    x = np.asarray(lengths, dtype=np.float64)
    rounds = min(len(costs[length]) for costs in (first, second) for length in lengths)
    if rounds < FEWEST_ROUNDS and not exact:
        counted = "1 round" if rounds == 1 else f"{rounds} rounds"
        return no_crossover(f"{counted} at some length; {FEWEST_ROUNDS} are needed")
    of_first, of_second = ([costs[n] for n in lengths] for costs in (first, second))
    a, slower = _draws(of_first, of_second, 0, exact)
    b, _ = _draws(of_second, of_first, 1, exact)
    difference = np.log(a) - np.log(b)
    below, above = (np.mean(difference < 0, axis=0), np.mean(difference > 0, axis=0))
    sign = np.where(below >= AGREE, -1, np.where(above >= AGREE, 1, 0))
    few = not exact and rounds < FEWEST and len(x) >= FEWEST_LENGTHS
    alone = _alone(x, difference[0], sign) if few else np.zeros(len(x), dtype=bool)
    sure = [index for index in range(len(x)) if sign[index] and not alone[index]]
    for left, right in pairwise(sure):
        if sign[left] != sign[right]:
            crossings = _inside(x, a, b, (left, right))
            return _crossover(crossings, rounds, cheaper=_cheaper(sign[left]), extrapolated=False)
    if alone[-1]:
        other = f"{names[_cheaper(sign[-1])]} is cheaper at T = {lengths[-1]:,}"
        return no_crossover(f"{other}, against what shorter lengths suggest: measure it again")
    if not sure:
        return no_crossover(f"the two differ by less than {_noise(slower)} at every length")
    if sure[-1] != len(x) - 1:
        known = lengths[sure[-1]]
        return no_crossover(f"beyond T = {known:,} the two differ by less than {_noise(slower)}")
    cheaper = _cheaper(sign[-1])
    crossings = _beyond(x, a, b)
    meeting = np.mean(np.isfinite(crossings))
    if meeting < AGREE:
        surely = f"{names[cheaper]} is cheaper at T = {lengths[-1]:,}"
        farthest = f"T = {FARTHEST * lengths[-1]:,.0f}"
        return no_crossover(
            f"{surely}; no crossover up to {farthest}"
            if meeting <= 1 - AGREE
            else f"{surely}; whether they cross up to {farthest} cannot be told"
        )
    return _crossover(crossings, rounds, cheaper=cheaper, extrapolated=True)


def _alone(x: Array, gap: Array, sign: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return at which lengths the neighbours put another model first than ``sign`` says.

    They are the two beside it, with a line between them; at an end the next three, with a
    parabola, all in logarithms.
    """
    import numpy as np

    alone, size = np.zeros(len(x), dtype=bool), np.log(x)
    for index in range(len(x)):
        inside = 0 < index < len(x) - 1
        near = [index - 1, index + 1] if inside else [abs(index - k) for k in (1, 2, 3)]
        suggested = np.polyval(np.polyfit(size[near], gap[near], len(near) - 1), size[index])
        alone[index] = sign[index] * suggested < 0
    return alone


def _noise(slower: float | None) -> str:
    """Return what a difference has to be larger than, in words."""
    return "their noise" if slower is None else f"spells of load make ({slower:.2g}×)"


def _cheaper(sign: int) -> Literal[0, 1]:
    return 0 if sign < 0 else 1


def no_crossover(reason: str) -> Crossover:
    """Return that none is known, and why."""
    return Crossover(length=missing("1", METHOD, reason), extrapolated=False, cheaper_below=None)


def _draws(
    costs: Sequence[Sequence[float]], beside: Sequence[Sequence[float]], side: int, exact: bool
) -> tuple[Array, float | None]:
    """Return ``[1 + resamples, lengths]``: the medians, then those of resampled rounds.

    And how many times as long rounds took in a spell of load, if there was one.
    """
    import numpy as np

    if exact:
        return np.asarray([[median(values) for values in costs]]), None
    resampled = resample_medians(costs, beside, side=side)
    medians = np.asarray([resampled.medians])
    if resampled.drawn is None:
        return medians, None
    return np.concatenate([medians, resampled.drawn]), resampled.slower


def _inside(x: Array, a: Array, b: Array, between: tuple[int, int]) -> Array:
    """Cross between two lengths, given by index, at which the order differs for sure."""
    import numpy as np

    left, right = between
    gap = a - b
    crossed = gap[:, left:right] * gap[:, left + 1 : right + 1] <= 0
    at = np.where(crossed.any(axis=1), left + np.argmax(crossed, axis=1), -1)
    crossings = np.full((2, len(gap)), np.nan)
    for segment in range(left, right):
        rows = at == segment
        if rows.any():
            ends = slice(segment, segment + 2)
            width = x[segment + 1] - x[segment]
            crossings[0, rows] = x[segment] + _root(*_polynomial(x, gap[rows], segment), width)
            crossings[1, rows] = _meet_as_powers(x[ends], a[rows, ends], b[rows, ends])
    return crossings


def _beyond(x: Array, a: Array, b: Array) -> Array:
    """Cross beyond the longest length; NaN where not within what may be told."""
    import numpy as np

    last, farthest = len(x) - 1, FARTHEST * x[-1]
    polynomial = x[-1] + _root(*_polynomial(x, a - b, last), farthest - x[-1])
    powers = _meet_as_powers(x[-2:], a[:, -2:], b[:, -2:])
    crossings = np.stack([polynomial, powers])
    crossings[~((crossings >= x[-1]) & (crossings <= farthest))] = np.nan
    return crossings


def _polynomial(x: Array, gap: Array, start: int) -> tuple[Array, Array, Array]:
    """Return value, slope and curvature at ``x[start]`` of the parabola through three lengths.

    They are ``start``, the next one and one more neighbour; of two lengths, a line. A cost
    a + b T + c T², as that of recurrent models and of attention, is met exactly.
    """
    import numpy as np

    size = len(x)
    if size == 2:
        slope = (gap[:, 1] - gap[:, 0]) / (x[1] - x[0])
        return gap[:, start], slope, np.zeros(len(gap))
    first = min(max(start, 0), size - 3)
    x0, x1, x2 = x[first : first + 3]
    g0, g1, g2 = (gap[:, first + index] for index in range(3))
    near, far = (g1 - g0) / (x1 - x0), (g2 - g1) / (x2 - x1)
    curvature = (far - near) / (x2 - x0)
    at = x[start]
    return gap[:, start], near + curvature * (2 * at - x0 - x1), curvature


def _root(value: Array, slope: Array, curvature: Array, reach: float) -> Array:
    """Return the smallest root in ``[0, reach]`` of value + slope u + curvature u²; else NaN."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        half = -0.5 * (slope + np.copysign(np.sqrt(slope**2 - 4 * curvature * value), slope))
        roots = np.stack([half / curvature, value / half])
    slack = 1e-9 * reach
    roots[~((roots >= -slack) & (roots <= reach + slack))] = np.inf
    smallest = roots.min(axis=0)
    return np.where(value == 0, 0.0, np.where(np.isfinite(smallest), smallest, np.nan))


def _meet_as_powers(x: Array, a: Array, b: Array) -> Array:
    """Return where two power laws meet, each through two medians; may lie outside of them."""
    import numpy as np

    gap = np.log(a) - np.log(b)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = np.where(gap[:, 0] == 0, 0.0, gap[:, 0] / (gap[:, 0] - gap[:, 1]))
        meeting: Array = x[0] * (x[1] / x[0]) ** share
    return meeting


def _crossover(
    crossings: Array, rounds: int, *, cheaper: Literal[0, 1], extrapolated: bool
) -> Crossover:
    """Summarise ``[curves, 1 + resamples]`` crossings, those of the medians themselves first."""
    import numpy as np

    known = crossings[np.isfinite(crossings)]
    if crossings.shape[1] == 1:  # without resamples the ends are the two curves themselves
        low, high = float(min(known)), float(max(known))
    else:
        low, high = percentiles(known, expanded_level(rounds))
    exact = crossings[:, 0][np.isfinite(crossings[:, 0])]
    value = float(exact[0]) if len(exact) else float(np.median(known))
    return Crossover(
        length=Estimate(
            value=min(max(value, low), high), low=low, high=high, unit="1", method=METHOD, n=rounds
        ),
        extrapolated=extrapolated,
        cheaper_below=cheaper,
    )
