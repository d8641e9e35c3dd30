"""Where along the sequence timesteps became slower: bins, and single ones that stand out.

A bin's ratio is held against that of the whole loop: what made all of the run slower (the machine,
the process) is the same for each timestep and says nothing about where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.diff.unpaired import of_estimates
from seqprof.analysis.run.timesteps import MOST_SLOW, SLOW_RATIO, SLOW_SAMPLES, Bin, LoopPhase, bins
from seqprof.analysis.statistics import Estimate, median, missing
from seqprof.recording import Clock, TimestepLatency, Trial

_METHOD = "p50 new / base, intervals from notches combined; steps only, no spread of processes"
#: A bin stands out when its whole interval lies this far beyond the loop's typical ratio, and its
#: timesteps' 5 % quantiles do too: other programs slow some steps, hardly ever all of them.
LOCAL = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class BinChange:
    """Some consecutive timesteps."""

    first: int
    last: int
    base_s: float | None
    new_s: float | None
    ratio: Estimate
    stands_out: Annotated[
        bool, Meta(description="slower beyond what the whole loop is, interval and all")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepChange:
    """One timestep that became slower than the others did, in nearly every step of the new run."""

    timestep: int
    base_s: float
    new_s: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopChange:
    """One loop in one phase, timestep by timestep."""

    loop: str
    phase: LoopPhase
    clock: Clock
    timesteps: int
    typical: Annotated[Estimate, Meta(description="median over timesteps of new / base")]
    bins: tuple[BinChange, ...]
    slower: Annotated[
        tuple[TimestepChange, ...],
        Meta(description="outside the bins that stand out; at most 5, the worst first"),
    ]
    slower_timesteps: Annotated[int, Meta(description="how many stand out in all")]


def compare_timesteps(base: Trial, new: Trial) -> tuple[tuple[LoopChange, ...], tuple[str, ...]]:
    """Return every loop that both recordings have, and why others cannot be compared."""
    before = {(x.loop, x.phase, x.clock): x for x in base.latencies}
    after = {(x.loop, x.phase, x.clock): x for x in new.latencies}
    changes, absent = [], []
    for key in dict.fromkeys((*before, *after)):
        a, b = before.get(key), after.get(key)
        loop, phase, clock = key
        if a is None or b is None:
            absent.append(f"{loop} {phase} ({clock} clock) is in the {'base' if a else 'new'} only")
        elif len(a.p50_s) != len(b.p50_s):
            absent.append(f"{loop} {phase} has {len(a.p50_s)} → {len(b.p50_s)} timesteps")
        else:
            changes.append(_loop(a, b))
    if not before and not after:
        absent.append(f"no timestep was marked: {new.timesteps_reason or 'not said why'}")
    return tuple(changes), tuple(absent)


def _loop(base: TimestepLatency, new: TimestepLatency) -> LoopChange:
    ratios = [b / a for a, b in zip(base.p50_s, new.p50_s, strict=True) if a and b]
    typical = median(ratios) if ratios else None
    parts = tuple(
        _bin(a, b, typical, _fast_ratio(base, new, a))
        for a, b in zip(bins(base), bins(new), strict=True)
    )
    standing_out = {
        t for part in parts if part.stands_out for t in range(part.first, part.last + 1)
    }
    slower = _slower(base, new, typical) if typical else []
    single = [change for change in slower if change.timestep not in standing_out]
    return LoopChange(
        loop=base.loop,
        phase=base.phase,
        clock=base.clock,
        timesteps=len(base.p50_s),
        typical=Estimate(value=typical, unit="1", method="median of p50 ratios", n=len(ratios))
        if typical
        else missing("1", "median of p50 ratios", "no timestep was marked in both"),
        bins=parts,
        slower=tuple(single[:MOST_SLOW]),
        slower_timesteps=len(single),
    )


def _fast_ratio(base: TimestepLatency, new: TimestepLatency, part: Bin) -> float | None:
    """Return new / base of the 5 % quantiles, the median over the timesteps of a bin."""
    pairs = [(base.p05_s[t], new.p05_s[t]) for t in range(part.first, part.last + 1)]
    ratios = [b / a for a, b in pairs if a and b]
    return median(ratios) if ratios else None


def _bin(base: Bin, new: Bin, typical: float | None, fast: float | None) -> BinChange:
    ratio = _bin_ratio(base, new)
    limit = None if typical is None else max(1.0, typical) * (1 + LOCAL)
    return BinChange(
        first=base.first,
        last=base.last,
        base_s=base.p50_s,
        new_s=new.p50_s,
        ratio=ratio,
        stands_out=limit is not None
        and ratio.low is not None
        and ratio.low > limit
        and fast is not None
        and fast > limit,
    )


def _bin_ratio(base: Bin, new: Bin) -> Estimate:
    if not base.p50_s or not new.p50_s:
        return missing("1", _METHOD, "no timestep of these was marked in both")
    return replace(of_estimates(_estimate(base), _estimate(new)), method=_METHOD)


def _estimate(part: Bin) -> Estimate:
    return Estimate(
        value=part.p50_s,
        low=part.low_s,
        high=part.high_s,
        unit="s",
        method=_METHOD,
        n=part.last - part.first + 1,
    )


def _slower(base: TimestepLatency, new: TimestepLatency, typical: float) -> list[TimestepChange]:
    """Timesteps slower in nearly every step (p05) than they were in most (p75), by a quarter."""
    slower = []
    for t, (a, b) in enumerate(zip(base.p50_s, new.p50_s, strict=True)):
        old, now = base.p75_s[t], new.p05_s[t]
        if a is None or b is None or old is None or now is None:
            continue
        measured = min(base.samples[t], new.samples[t]) >= SLOW_SAMPLES
        if measured and now > old * max(1.0, typical) * SLOW_RATIO:
            slower.append(TimestepChange(timestep=t, base_s=a, new_s=b, ratio=b / a))
    return sorted(slower, key=lambda change: -change.ratio)
