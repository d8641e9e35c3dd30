"""Samples of timesteps → the quantiles and the bounded map that a recording shows of them.

Without numpy: reading a recording on the terminal must not wait for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise, zip_longest

from seqprof.analysis.statistics import mean, median, quantile
from seqprof.recording import LatencyMap, TimestepLatency, TimestepSamples

Row = Sequence[float | None]
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Significant digits of a stored latency: finer than any noise, and the file stays small.
DIGITS = 5
#: Cells of all maps of a trial, about 8 bytes each in the file, and their digits: they are looked
#: at as colours.
MAP_CELLS = 16_384
_MAP_DIGITS = 3
#: Most probed steps that a map keeps, evenly spread over all.
MAP_ROWS = 48
#: Values that a trial's samples may have: about 5 MB.
SAMPLE_CELLS = 400_000


def bounded(samples: Sequence[TimestepSamples]) -> tuple[TimestepSamples, ...]:
    """The samples if a file can hold them, else none."""
    cells = sum(len(row) for each in samples for row in each.rows)
    return tuple(samples) if cells <= SAMPLE_CELLS else ()


def latencies_of(samples: Iterable[TimestepSamples]) -> tuple[TimestepLatency, ...]:
    """Mean and quantiles of each timestep, in order of the samples."""
    return tuple(map(_latency, samples))


def maps_of(samples: Iterable[TimestepSamples]) -> tuple[LatencyMap, ...]:
    """A bounded sample of single steps on the device's clock, or the host's where it is alone.

    All maps together have at most ``MAP_CELLS`` cells, or a column each.
    """
    every = list(samples)
    clock = "device" if any(each.clock == "device" for each in every) else "host"
    shown = [each for each in every if each.clock == clock]
    return tuple(_map(each, MAP_CELLS // len(shown)) for each in shown)


def _columns(rows: Iterable[Row]) -> list[list[float]]:
    """What is known of each timestep."""
    return [[v for v in column if v is not None] for column in zip_longest(*rows)]


def _latency(samples: TimestepSamples) -> TimestepLatency:
    columns = [sorted(known) for known in _columns(samples.rows)]

    def over(q: float) -> tuple[float | None, ...]:
        return tuple(_rounded(quantile(known, q)) if known else None for known in columns)

    p05, p25, p50, p75, p95 = map(over, _QUANTILES)
    return TimestepLatency(
        loop=samples.loop,
        phase=samples.phase,
        clock=samples.clock,
        reverse=samples.reverse,
        samples=tuple(map(len, columns)),
        mean_s=tuple(_rounded(mean(known)) if known else None for known in columns),
        p05_s=p05,
        p25_s=p25,
        p50_s=p50,
        p75_s=p75,
        p95_s=p95,
    )


def _rounded(value: float, digits: int = DIGITS) -> float:
    return float(f"{value:.{digits}g}")


def _map(samples: TimestepSamples, most: int) -> LatencyMap:
    timesteps = max(map(len, samples.rows))
    steps = sorted(set(samples.pairs))
    pairs = [steps[i] for i in _spread(len(steps), min(MAP_ROWS, most))]
    # Where only every k-th timestep is marked in one step, a column has k, and so one that was.
    wide = max(1, min(timesteps // _stride(samples.rows), most // len(pairs)))
    starts = _spread(timesteps, wide)
    of_pair: dict[int, list[Row]] = defaultdict(list)
    for pair, row in zip(samples.pairs, samples.rows, strict=True):
        of_pair[pair].append(row)
    return LatencyMap(
        loop=samples.loop,
        phase=samples.phase,
        clock=samples.clock,
        timesteps=timesteps,
        pairs=tuple(pairs),
        starts=tuple(starts),
        mean_s=tuple(_stretch_means(of_pair[pair], starts) for pair in pairs),
    )


def _stride(rows: Iterable[Row]) -> int:
    """The largest distance between marked timesteps, in a typical step."""
    marked = [[at for at, value in enumerate(row) if value is not None] for row in rows]
    return int(median([max((b - a for a, b in pairwise(at)), default=1) for at in marked]))


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``range(count)``, from 0 on, evenly spread."""
    taken = min(count, most)
    return [index * count // taken for index in range(taken)]


def _stretch_means(rows: Sequence[Row], starts: Sequence[int]) -> tuple[float | None, ...]:
    """Mean of what is known in each stretch of columns."""
    ends = (*starts[1:], max(map(len, rows)))
    means = []
    for start, end in zip(starts, ends, strict=True):
        known = [v for row in rows for v in row[start:end] if v is not None]
        means.append(_rounded(mean(known), _MAP_DIGITS) if known else None)
    return tuple(means)
