"""Do the intervals hold? Coverage, false verdicts and power on noise whose truth is known.

``python benchmarks/intervals.py [TABLE …] [--repetitions 1000]`` prints one table each (median,
compare, diff, growth, crossover, changes), in Markdown. Noise: independent (normal, heavy tails),
autoregressive of first order, bursts (stretches of 8 steps on average, a fifth of the time, half as
slow again), drift of 10 %. `docs/evidence/intervals.md` has the tables of the last full run.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from seqprof.analysis.compare import comparison
from seqprof.analysis.compare.comparison import compare
from seqprof.analysis.diff import unpaired
from seqprof.analysis.diff.unpaired import Runs, compare_runs, judge
from seqprof.analysis.history import level_shift
from seqprof.analysis.history.change_points import find_change_points
from seqprof.analysis.scale import resampled
from seqprof.analysis.scale.crossover import find_crossover
from seqprof.analysis.scale.growth import fit_growth
from seqprof.analysis.statistics import median_interval

Series = NDArray[np.float64]
SEED = 20261126
RNG = np.random.default_rng(SEED)


def autoregressive(rho: float) -> Callable[[int], Series]:
    def draw(n: int) -> Series:
        noise = RNG.normal(size=n + 100)
        for i in range(1, len(noise)):
            noise[i] = rho * noise[i - 1] + math.sqrt(1 - rho * rho) * noise[i]
        return np.asarray(np.exp(0.05 * noise[100:]))

    return draw


def bursts(n: int) -> Series:
    slow, on = np.empty(n), RNG.random() < 0.2
    for i in range(n):
        on = RNG.random() > 1 / 8 if on else RNG.random() < 1 / 32
        slow[i] = 1.5 if on else 1.0
    return np.asarray(slow * np.exp(0.02 * RNG.normal(size=n)))


NOISE: dict[str, Callable[[int], Series]] = {
    "independent, normal 5 %": lambda n: np.maximum(0.3, 1 + 0.05 * RNG.normal(size=n)),
    "independent, heavy tails": lambda n: np.exp(np.clip(0.03 * RNG.standard_t(1.5, n), -3, 3)),
    "correlation 0.3": autoregressive(0.3),
    "correlation 0.54": autoregressive(0.54),
    "correlation 0.6": autoregressive(0.6),
    "correlation 0.9": autoregressive(0.9),
    "bursts": bursts,
    "drift 10 %": lambda n: np.linspace(1, 1.1, n) * np.exp(0.02 * RNG.normal(size=n)),
}
SLOWER = (1.05, 1.10, 1.15)
#: What is said of a change point, from sure to unsure.
KINDS = {"lasts": 0, "came back": 1, "perhaps passing": 1, "perhaps a drift": 2}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads), flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def percent(count: int, of: int) -> str:
    return f"{100 * count / of:.1f}"


def medians(repetitions: int) -> None:
    """Coverage of the 95 % interval of a step's median, by the number of steps."""
    counts = (6, 10, 20, 55, 200)

    def rows() -> Iterable[list[str]]:
        for name, draw in NOISE.items():
            truth = float(np.median(np.concatenate([draw(2000) for _ in range(50)])))
            row = [name]
            for n in counts:
                intervals = (median_interval(draw(n).tolist()) for _ in range(repetitions))
                row.append(percent(sum(i is not None and i[0] <= truth <= i[1] for i in intervals),
                                   repetitions))  # fmt: skip
            yield row

    table(["noise", *(f"n = {n}" for n in counts)], rows())


def comparisons(repetitions: int) -> None:
    """Two candidates that are alike, and a slower one, in 6 to 40 rounds."""

    def drawn(name: str, n: int, factor: float) -> tuple[list[float], list[float]]:
        common = np.exp(0.1 * np.cumsum(RNG.normal(size=n)) / math.sqrt(n))
        return (factor * common * NOISE[name](n)).tolist(), (common * NOISE[name](n)).tolist()

    def rows() -> Iterable[list[str]]:
        for name in NOISE:
            for n in (6, 10, 20, 40):
                found = [compare(*drawn(name, n, 1.0)) for _ in range(repetitions)]
                covered = sum((f.ratio.low or 2) <= 1 <= (f.ratio.high or 0) for f in found)
                false = sum(f.verdict in ("faster", "slower") for f in found)
                some = max(repetitions // 5, 1)
                power = [
                    sum(compare(*drawn(name, n, k)).verdict == "slower" for _ in range(some))
                    for k in SLOWER
                ]
                yield [name, str(n), percent(covered, repetitions), percent(false, repetitions),
                       *(percent(p, some) for p in power)]  # fmt: skip

    table(["noise", "rounds", "covers", "false verdicts", "+5 % told", "+10 %", "+15 %"], rows())


def differences(repetitions: int) -> None:
    """`diff` of one run a side, whose processes differ by 1 %."""

    def verdict(name: str, n: int, factor: float) -> tuple[bool, str | None]:
        base, new = (
            Runs([(k * math.exp(0.01 * RNG.normal()) * NOISE[name](n)).tolist()], [0.0], 0.05)
            for k in (1.0, factor)
        )
        found = compare_runs(base, new)
        low, high = found.ratio.low or 2.0, found.ratio.high or 0.0
        return low <= factor <= high, judge(found.ratio, [found.fast], ("slower", "faster"))

    def rows() -> Iterable[list[str]]:
        for name in NOISE:
            for n in (20, 55):
                found = [verdict(name, n, 1.0) for _ in range(repetitions)]
                some = max(repetitions // 5, 1)
                power = [
                    sum(verdict(name, n, k)[1] == "slower" for _ in range(some)) for k in SLOWER
                ]
                yield [name, str(n), percent(sum(c for c, _ in found), repetitions),
                       percent(sum(v in ("slower", "faster") for _, v in found), repetitions),
                       *(percent(p, some) for p in power)]  # fmt: skip

    table(["noise", "steps", "covers", "false verdicts", "+5 % told", "+10 %", "+15 %"], rows())


def growths(repetitions: int) -> None:
    """Coverage of growth over 5 and over 3 lengths, each length with noise of its own."""
    lengths, power, fixed, price = (64, 128, 256, 512, 1024), 1.2, 0.01, 1e-4

    def covered(name: str, used: Sequence[int], rounds: int, level: float) -> list[bool]:
        sizes = [t for t in used for _ in range(rounds)]
        noise = {t: NOISE[name](rounds) for t in used}
        line = fit_growth(sizes, [(fixed + price * t) * float(x) for t in used for x in noise[t]])
        law = fit_growth(sizes, [price * t**power * float(x) for t in used for x in noise[t]])
        pairs = (
            (line.marginal, price * level),
            (line.fixed, fixed * level),
            (law.exponent, power),
            (law.local_exponents[0].exponent, power),
            (line.local_exponents[0].marginal, price * level),
        )
        return [(e.low or 0.0) <= truth <= (e.high or 0.0) for e, truth in pairs]

    def rows() -> Iterable[list[str]]:
        for name, draw in NOISE.items():
            level = float(np.median(np.concatenate([draw(2000) for _ in range(50)])))
            for rounds, count in itertools.product((6, 10, 20), (5, 3)):
                hits = np.sum(
                    [covered(name, lengths[:count], rounds, level) for _ in range(repetitions)],
                    axis=0,
                )
                yield [name, str(rounds), str(count), *(percent(h, repetitions) for h in hits)]

    heads = ["marginal", "fixed", "exponent", "local exponent", "local marginal"]
    table(["noise", "rounds", "lengths", *heads], rows())


def crossovers(repetitions: int) -> None:
    """Crossovers found / covered of these; the last two never cross: found though there is none."""
    lengths = (32, 64, 128, 256, 512, 1024)

    def linear(t: int) -> float:
        return 0.002 + 1e-4 * t

    def meeting_at(at: int) -> Callable[[int], float]:
        return lambda t: 0.002 + 1e-4 * t * t / at

    cases: list[tuple[Callable[[int], float], int | None]] = [
        *((meeting_at(at), at) for at in (300, 900, 2000)),
        (linear, None),
        (lambda t: 1.1 * linear(t), None),
    ]

    def cell(name: str, rounds: int, other: Callable[[int], float], at: int | None) -> str:
        count = hits = 0
        for _ in range(repetitions):
            first, second = (
                {t: (cost(t) * NOISE[name](rounds)).tolist() for t in lengths}
                for cost in (linear, other)
            )
            length = find_crossover(first, second).length
            count += length.value is not None
            hits += at is not None and (length.low or 0.0) <= at <= (length.high or 0.0)
        share = percent(count, repetitions)
        return share if at is None else f"{share} / {percent(hits, count) if count else '-'}"

    heads = ["at 300", "at 900", "beyond, at 2000", "equal", "1.1 times apart"]
    rows = (
        [name, str(rounds), *(cell(name, rounds, other, at) for other, at in cases)]
        for name in NOISE
        for rounds in (6, 10, 20)
    )
    table(["noise", "rounds", *heads], rows)


def changes(repetitions: int) -> None:
    """Change points told, without one and of a step: lasts + may pass + perhaps a drift."""

    def drawn(name: str, n: int, factor: float) -> set[str]:
        """Return the verdicts on series of one level, or within 2 of a step in their middle."""
        values = NOISE[name](n)
        values[n // 2 :] *= factor
        found = find_change_points(values.tolist())
        return {one.verdict for one in found if factor == 1 or abs(one.index - n // 2) <= 2}

    def rows() -> Iterable[list[str]]:
        for name in NOISE:
            for n in (12, 20, 30, 60):
                row = [name, str(n)]
                for factor in (1.0, *SLOWER):
                    count = repetitions if factor == 1.0 else max(repetitions // 5, 1)
                    verdicts = [drawn(name, n, factor) for _ in range(count)]
                    kinds = Counter(min(map(KINDS.__getitem__, one)) for one in verdicts if one)
                    row += [" + ".join(percent(kinds[kind], count) for kind in range(3))]
                yield row

    table(["noise", "runs", "no step", "+5 %", "+10 %", "+15 %"], rows())


TABLES = {
    "median": medians,
    "compare": comparisons,
    "diff": differences,
    "growth": growths,
    "crossover": crossovers,
    "changes": changes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=[])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--resamples", type=int, help="of each bootstrap and test: fewer is faster")
    parser.add_argument("--seed", type=int, default=SEED, help="of the noise")
    chosen = parser.parse_args()
    RNG.bit_generator.state = np.random.default_rng(chosen.seed).bit_generator.state
    if chosen.resamples is not None:
        for module in (comparison, unpaired, resampled, level_shift):
            module.RESAMPLES = chosen.resamples  # type: ignore[attr-defined]
    for name in chosen.tables or TABLES:
        print(f"## {name}: {TABLES[name].__doc__}, {chosen.repetitions} repetitions\n")
        TABLES[name](chosen.repetitions)


if __name__ == "__main__":
    main()
