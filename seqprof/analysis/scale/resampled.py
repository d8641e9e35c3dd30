"""The medians of each size's rounds as they might have been: rounds resampled.

A bootstrap over rounds, not steps. Rounds that resemble their neighbours tell less than their
number: the resampled medians scatter as much wider (:mod:`seqprof.analysis.dependence`).

Where spells of load made rounds slow (:mod:`seqprof.analysis.spells_together`), what counts
is the median of the rounds that none did. Where all of a size's are of one level, half of its
resamples take that for a spell's, since nothing tells: what is concluded has to hold either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from seqprof.analysis.compare.comparison import RESAMPLES, SEED
from seqprof.analysis.dependence import inefficiency, widening
from seqprof.analysis.spells_together import Spells, find_spells
from seqprof.analysis.statistics import SMALLEST_INTERVAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Rounds at every size from which its spread is resampled: the range of six values covers the
#: median with 97 %, that of five with 94 %.
FEWEST_ROUNDS = SMALLEST_INTERVAL
#: Standard deviation of the median of normal values over that of their mean: √(π / 2).
_OF_MEDIAN = 1.2533


@dataclass(frozen=True, slots=True)
class Resampled:
    """The medians of each size's rounds, and those of resampled rounds.

    Attributes:
        medians: of what no spell made slow, seconds, ``[sizes]``; of all rounds where none did.
        drawn: ``[RESAMPLES, sizes]``; None below six rounds at any size.
        slower: how many times as long a round took in the strongest spell of load that was seen;
            None where there was none.
    """

    medians: tuple[float, ...]
    drawn: Array | None = None
    slower: float | None = None


def resample_medians(
    times: Sequence[Sequence[float]], beside: Sequence[Sequence[float]] = (), *, side: int = 0
) -> Resampled:
    """Resample the rounds of each size.

    Args:
        times: seconds of each size's rounds, in order of time, ``[sizes][rounds]``, positive.
        beside: those of another candidate, in which the same load may show.
        side: another number takes what may be a spell's for one in other resamples.
    """
    medians = tuple(median(series) for series in times)
    if min(map(len, times)) < FEWEST_ROUNDS:
        return Resampled(medians)
    import numpy as np

    rounds = [[math.log(time) for time in series] for series in (*times, *beside)]
    spells = find_spells(rounds)
    if spells is None:
        drawn = [_bootstrapped(series, SEED + index) for index, series in enumerate(times)]
        return Resampled(medians, np.stack(drawn, axis=1))
    calm = tuple(
        centre if level is None else math.exp(median(level))
        for centre, level in zip(medians, spells.undisturbed, strict=False)
    )
    drawn = [_undisturbed(series, spells, index, side) for index, series in enumerate(times)]
    return Resampled(calm, np.stack(drawn, axis=1), math.exp(max(spells.slower)))


def _undisturbed(times: Sequence[float], spells: Spells, index: int, side: int) -> Array:
    """Return medians as they might have been had no spell made any round slow, ``[RESAMPLES]``."""
    import numpy as np

    rng, level = np.random.default_rng((SEED, index, side)), spells.undisturbed[index]
    if level is not None:
        error = _OF_MEDIAN * spells.noise / math.sqrt(len(level))
        return np.exp(rng.normal(median(level), error, RESAMPLES))
    drawn = _bootstrapped(times, SEED + index)
    slower = np.exp(rng.choice(spells.slower, RESAMPLES))
    either: Array = np.where(rng.random(RESAMPLES) < 0.5, drawn / slower, drawn)
    return either


def _bootstrapped(times: Sequence[float], seed: int) -> Array:
    import numpy as np
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    if len(set(times)) == 1:
        return np.full(RESAMPLES, times[0])
    drawn: Any = bootstrap(
        (np.asarray(times),),
        np.median,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution
    wider = widening(len(times), inefficiency(times, of_median=True))
    centre = float(np.median(times))
    scattered: Array = centre * (drawn / centre) ** wider  # what is positive stays so
    return scattered


def percentiles(values: Array, level: float) -> tuple[float, float]:
    """Return the central interval that holds ``level`` of ``values``."""
    import numpy as np

    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
