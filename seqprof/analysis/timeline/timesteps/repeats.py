"""Find what repeats in a sequence of symbols, exactly where it is exact and through noise.

Pure sequence analysis: it knows nothing of kernels. Candidate periods are the distances at which
n-grams recur; each is judged by counting occurrences of its best pattern, one after another.
Between exact occurrences a noisy one counts when its longest common subsequence with the pattern is
long enough; a longer interruption ends a run, and runs that recur themselves are an outer period.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import distinct, groups
from seqprof.analysis.timeline.structure import Ints

#: Fewer repeats of a pattern are a coincidence, or a few blocks of a network.
MIN_REPEATS = 4
#: Share of the sequence that a period must explain, unless less is asked for.
MIN_COVERAGE = 0.4
#: Share of the pattern that a noisy repeat must contain, in order.
MIN_LIKENESS = 0.75
#: Share of all repeats' symbols that must be as the pattern has them; random ones reach 0.8.
MIN_MATCHED = 0.9
#: Part of that share in repeats without noise below which a period is not considered.
MIN_EXACT = 0.5
#: A noisy repeat may be this much longer than the pattern.
_NOISE_LENGTH = 1.5
#: Share of the pattern's symbols that must agree on a number of repeats.
_MAJORITY = 0.5
#: Share of a noisy first or last repeat that must be the pattern's.
_OWN = 0.6
#: More noisy repeats than this between two exact ones end a run.
_NOISY_IN_A_ROW = 8
#: Symbols between two repeats that are noise: one, or this part of the pattern.
_INSERTED = 5
_CANDIDATES = 48
#: Turns of a pattern that are tried in the end.
_TURNS = 16
_NGRAMS = (1, 2, 4, 8)
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)


class RepeatRun(Struct, frozen=True):
    """Consecutive repeats: ``starts`` of each, the end of the last, symbols as in the pattern."""

    starts: tuple[int, ...]
    end: int
    matched: int

    @property
    def repeats(self) -> int:
        return len(self.starts)


class Period(Struct, frozen=True):
    """One level of repetition. ``coverage`` is the share of the sequence inside the runs."""

    symbols: int
    repeats: int
    coverage: float
    runs: tuple[RepeatRun, ...]

    @property
    def matched(self) -> int:
        """Symbols that are as the pattern has them."""
        return sum(run.matched for run in self.runs)


def find_periods(sequence: Ints, coverage: float = MIN_COVERAGE) -> tuple[Period, ...]:
    """The periods of ``sequence`` from the innermost to the outermost: none, one or two.

    ``Period.repeats`` is the number of repeats in a run (the most frequent one if runs differ).

    Args:
        coverage: share of the sequence that a period must explain, in (0, 1].
    """
    if len(sequence) < MIN_REPEATS:
        return ()
    symbols = np.searchsorted(distinct(sequence), sequence).astype(np.int64)
    periods = [
        p for c in _candidate_periods(symbols) if (p := _judge(symbols, c, coverage)) is not None
    ]
    # Through noise a period one symbol off covers as much, but leaves a symbol of each unexplained.
    # The pattern itself counts against it, as in a description that gives it once.
    periods.sort(key=lambda period: (period.symbols - period.matched, period.symbols))
    levels: list[Period] = []
    for period in periods:
        if all(_nested(period, level) for level in levels) and len(levels) < 2:
            levels.append(period)
    return tuple(
        _refined(symbols, level, coverage)
        for level in sorted(levels, key=lambda period: period.symbols)
    )


def _nested(one: Period, other: Period) -> bool:
    """Whether the shorter repeats inside the longer, several times in each repeat of it."""
    inner, outer = sorted((one, other), key=lambda period: period.symbols)
    if inner.symbols * MIN_REPEATS > outer.symbols or len(inner.runs) < 2:
        return False
    starts = np.array([run.starts[0] for run in inner.runs])
    begin, end = outer.runs[0].starts[0], outer.runs[0].end
    inside = int(((starts >= begin - outer.symbols) & (starts < end)).sum())
    return inside >= outer.runs[0].repeats - 1


def _candidate_periods(symbols: Ints) -> list[int]:
    """Distances between successive occurrences of the same n-gram, the most frequent first."""
    counts = np.zeros(len(symbols), dtype=np.int64)
    for length in _NGRAMS:
        if len(symbols) >= 2 * length:
            keys = _window_hashes(symbols, length)
            order = np.argsort(keys, kind="stable")
            same = keys[order][1:] == keys[order][:-1]
            counts += np.bincount(np.diff(order)[same], minlength=len(symbols))
    longest = len(symbols) // MIN_REPEATS
    # Periods that differ in frequency by noise only are all tried; a multiple is told by _judge.
    ranked = np.argsort(-counts[: longest + 1], kind="stable")[:_CANDIDATES]
    return [int(period) for period in ranked if period > 0 and counts[period] > 1]


def _window_hashes(symbols: Ints, length: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """A 64-bit polynomial hash of each window of ``length`` symbols, in O(n log length)."""
    # A good mix of each symbol, so that small numbers do not collide.
    mixed = (symbols.astype(np.uint64) + np.uint64(1)) * _HASH_BASE
    mixed ^= mixed >> np.uint64(29)
    result = np.zeros(len(symbols) - length + 1, dtype=np.uint64)
    done, block, width = 0, mixed, 1
    with np.errstate(over="ignore"):
        factor = np.uint64(6364136223846793005)
        while done < length:
            if length & width:
                result = result * factor + block[done : done + len(result)]
                done += width
            block = block[:-width] * factor + block[width:] if len(block) > width else block
            factor = factor * factor
            width *= 2
    return result


def _judge(symbols: Ints, period: int, coverage: float) -> Period | None:
    """Count the repeats of the best pattern of ``period`` symbols; ``None`` if it is none."""
    pattern = _best_pattern(symbols, period, coverage * MIN_EXACT)
    if pattern is None or _is_power(pattern):
        return None
    return _best_turn(symbols, _rotations(symbols, pattern), coverage)


def _refined(symbols: Ints, period: Period, coverage: float) -> Period:
    """Try more turns of the pattern: with noise near both ends of a run neither end tells it."""
    pattern = _best_pattern(symbols, period.symbols, coverage * MIN_EXACT)
    if pattern is None:
        return period
    step = max(period.symbols // _TURNS, 1)
    turns = [np.roll(pattern, turn) for turn in range(0, period.symbols, step)]
    best = _best_turn(symbols, turns, coverage)
    return best if best is not None and best.matched > period.matched else period


def _best_turn(symbols: Ints, turns: list[Ints], coverage: float) -> Period | None:
    """The turn of a pattern whose repeats explain most of ``symbols``, if they suffice."""
    chains = [_runs(symbols, turn) for turn in turns]
    best = max(chains, key=lambda runs: sum(run.matched for run in runs))
    runs = [run for run in best if run.repeats >= MIN_REPEATS]
    covered = sum(run.end - run.starts[0] for run in runs)
    matched = sum(run.matched for run in runs)
    if not runs or covered < coverage * len(symbols) or matched < MIN_MATCHED * covered:
        return None
    counts = [run.repeats for run in runs]
    repeats = max(set(counts), key=lambda count: (counts.count(count), count))
    return Period(len(turns[0]), repeats, covered / len(symbols), tuple(runs))


def _best_pattern(symbols: Ints, period: int, exact: float) -> Ints | None:
    """The window of ``period`` symbols that recurs at that distance most often.

    All rotations of a pattern recur alike but for the ends of runs, where only the true one gains a
    repeat; among equals the one that occurs first.
    """
    keys = _window_hashes(symbols, period)
    if len(keys) <= period:
        return None
    recurring = np.flatnonzero(keys[period:] == keys[:-period])
    if not len(recurring):
        return None
    order, begins, counts = groups(keys[recurring])
    first = order[begins]
    best = np.lexsort((first, -counts))[0]
    # Spares judging most candidates: a repetition of which so little is exact is none.
    if (int(counts[best]) + 1) * period < exact * len(symbols):
        return None
    at = int(recurring[first[best]])
    return symbols[at : at + period]


def _is_power(pattern: Ints) -> bool:
    """Whether ``pattern`` is itself a repetition of a shorter one."""
    size = len(pattern)
    return any(
        size % part == 0 and (pattern == np.roll(pattern, part)).all()
        for part in range(1, size // 2 + 1)
        if size % part == 0
    )


def _runs(symbols: Ints, pattern: Ints) -> list[RepeatRun]:
    """Chain the occurrences of ``pattern``, exact and noisy, into runs, and extend their ends."""
    size = len(pattern)
    chains: list[RepeatRun] = []
    starts: list[int] = []
    free = matched = 0
    for at in _occurrences(symbols, pattern):
        if at < free:
            continue
        noisy = _noisy_starts(symbols, pattern, free, at) if starts else None
        if noisy is None:
            chains += [RepeatRun(tuple(starts), free, matched)] if starts else []
            starts, matched = [at], size
        else:
            starts += [*noisy[0], at]
            matched += noisy[1] + size
        free = at + size
    chains += [RepeatRun(tuple(starts), free, matched)] if starts else []
    floors = [0, *(chain.end for chain in chains)]
    ceilings = [*(chain.starts[0] for chain in chains[1:]), len(symbols)]
    return [
        _extended(symbols, pattern, chain, floor, ceiling)
        for chain, floor, ceiling in zip(chains, floors, ceilings, strict=False)
    ]


def _occurrences(symbols: Ints, pattern: Ints) -> list[int]:
    """Where ``pattern`` occurs, overlaps included; empty if it is longer than ``symbols``."""
    keys = _window_hashes(symbols, len(pattern))
    return [int(at) for at in np.flatnonzero(keys == _window_hashes(pattern, len(pattern))[0])]


def _rotations(symbols: Ints, pattern: Ints) -> list[Ints]:
    """``pattern`` turned to begin where its first run begins, and to end where its last run ends.

    Without noise near the ends both are the same; a wrong turn cuts a repeat in two.
    """
    at, size = _occurrences(symbols, pattern), len(pattern)
    before = symbols[max(at[0] - size + 1, 0) : at[0]][::-1]
    after = symbols[at[-1] + size : at[-1] + 2 * size - 1]
    left = alike_length(before, pattern[::-1])
    right = alike_length(after, pattern)
    return [np.roll(pattern, left), np.roll(pattern, -right)]


def alike_length(one: Ints, other: Ints) -> int:
    """How many symbols from the first on are the same in both."""
    differs = np.flatnonzero(one != other[: len(one)])
    return int(differs[0]) if len(differs) else len(one)


def _noisy_starts(
    symbols: Ints, pattern: Ints, start: int, end: int
) -> tuple[list[int], int] | None:
    """Noisy repeats between two exact ones: where, and symbols matched; ``None`` ends the run."""
    size, length = len(pattern), end - start
    count = round(length / size)
    held = occurs(symbols[start:end], pattern)
    if held and length <= _NOISE_LENGTH * held * size:
        count = held  # a little in each beside the pattern makes a stretch longer than its repeats
    if length == 0 or (count == 0 and length <= max(size // _INSERTED, 1)):
        return [], 0
    if count == 0 or count > _NOISY_IN_A_ROW:
        return None
    expected = np.tile(pattern, count)
    if not _may_be_alike(symbols[start:end], expected):
        return None
    common = _common(symbols[start:end], expected)
    if common < MIN_LIKENESS * count * size:
        return None
    return [start + length * index // count for index in range(count)], common


def _extended(symbols: Ints, pattern: Ints, run: RepeatRun, floor: int, ceiling: int) -> RepeatRun:
    """Add a first and a last repeat that differ a little, as those of a recurrence do."""
    reach = int(len(pattern) * _NOISE_LENGTH)
    starts, end, matched = run.starts, run.end, run.matched
    taken, common = _most_alike(symbols[end : min(end + reach, ceiling)], pattern)
    if taken:
        starts, end, matched = (*starts, end), end + taken, matched + common
    before = symbols[max(starts[0] - reach, floor) : starts[0]]
    taken, common = _most_alike(before[::-1], pattern[::-1])
    if taken:
        starts, matched = (starts[0] - taken, *starts), matched + common
    return RepeatRun(starts, end, matched)


def _most_alike(window: Ints, pattern: Ints) -> tuple[int, int]:
    """The head of ``window`` that is a noisy repeat: length and symbols matched, 0 if none.

    Of all heads the one with most symbols matched beyond those that are not: a symbol that lies
    behind several foreign ones is another's.
    """
    if not _may_be_alike(window, pattern):
        return 0, 0
    matched = np.array(_common_by_prefix(window, pattern))
    length = np.arange(1, len(window) + 1)
    alike = (matched >= MIN_LIKENESS * len(pattern)) & (matched >= _OWN * length)
    if not alike.any():
        return 0, 0
    best = int(np.where(alike, 2 * matched - length, -len(window)).argmax())
    return best + 1, int(matched[best])


def occurs(region: Ints, pattern: Ints) -> int | None:
    """How often ``pattern`` lies in ``region`` by most of its symbols; None if these disagree."""
    size = int(max(region.max(initial=0), pattern.max())) + 1
    each = np.bincount(pattern, minlength=size)
    weight = each[each > 0]
    votes = (2 * np.bincount(region, minlength=size)[each > 0] + weight) // (2 * weight)
    weights = np.bincount(votes, weights=weight)
    most = int(weights.argmax())
    return most if weights[most] > _MAJORITY * len(pattern) else None


def likeness(window: Ints, pattern: Ints) -> float:
    """Share of ``pattern`` that ``window`` holds in order."""
    return _common(window, pattern) / len(pattern)


def _may_be_alike(window: Ints, pattern: Ints) -> bool:
    """An upper bound that spares most comparisons: symbols in common in whatever order."""
    if not len(window):
        return False
    size = int(max(window.max(), pattern.max())) + 1
    shared = np.minimum(np.bincount(window, minlength=size), np.bincount(pattern, minlength=size))
    return bool(shared.sum() >= MIN_LIKENESS * len(pattern))


def _common(one: Ints, other: Ints) -> int:
    lengths = _common_by_prefix(one, other)
    return lengths[-1] if lengths else 0


def _common_by_prefix(window: Ints, pattern: Ints) -> list[int]:
    """Length of the longest common subsequence of each head of ``window`` with ``pattern``.

    The bit-vector algorithm of Crochemore et al. (2001): a zero bit for each symbol matched.
    """
    places: dict[int, int] = {}
    for place, symbol in enumerate(pattern.tolist()):
        places[symbol] = places.get(symbol, 0) | (1 << place)
    size = len(pattern)
    everything = row = (1 << size) - 1
    lengths = []
    for symbol in window.tolist():
        matched = row & places.get(symbol, 0)
        row = ((row + matched) | (row - matched)) & everything
        lengths.append(size - row.bit_count())
    return lengths
