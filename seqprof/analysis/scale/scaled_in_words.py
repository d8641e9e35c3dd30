"""The outcome of a scaling in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from seqprof.analysis.scale.growth import Growth
from seqprof.analysis.scale.summary import BatchGrowth, LengthGrowth, Meeting
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import digits_of, seconds_in_words, seconds_span


def growth_in_words(lengths: Sequence[LengthGrowth]) -> Iterator[str]:
    """Say what one more timestep costs, and which power of T describes a step, if one does."""
    shown = _ends(line.batch_size for line in lengths)
    for line in lengths:
        growth = line.growth
        if line.phase != "step" or line.batch_size not in shown:
            continue
        where = "" if line.batch_size is None else f" at batch {line.batch_size}"
        if not growth.local_exponents:
            if (growth.exponent.reason or "").startswith("not measurable"):
                yield f"{line.label}{where}: how a step grows is {growth.exponent.reason}."
            continue
        yield f"{line.label}{where}: {_price(growth)}; {_power(growth)}."


def _ends(values: Iterable[int | None]) -> set[int | None]:
    """Return the smallest and the largest: of a grid only its edges are told in words."""
    known = {value for value in values if value is not None}
    return {min(known), max(known)} if known else {None}


def _price(growth: Growth) -> str:
    first, last = growth.local_exponents[0], growth.local_exponents[-1]
    if growth.is_line or first is last:
        return f"one more timestep costs {_time(growth.marginal)}"
    return (
        f"one more timestep costs {_time(first.marginal)} from T = {first.start:,} to "
        f"{first.stop:,} and {_time(last.marginal)} from {last.start:,} to {last.stop:,}"
    )


def _power(growth: Growth) -> str:
    if growth.is_power:
        return f"a step grows as T^{growth.exponent.value:.2f}"
    if growth.power_misfit is None:
        (only,) = growth.local_exponents
        return (
            f"from T = {only.start:,} to {only.stop:,} a step grew as T^{only.exponent.value:.2f}"
        )
    powers = [part.exponent.value or 0.0 for part in growth.local_exponents]
    return (
        f"no one power of T describes a step (misfit {growth.power_misfit:.0%}; between "
        f"neighbouring lengths T^{min(powers):.2f} to T^{max(powers):.2f})"
    )


def _time(estimate: Estimate) -> str:
    value = seconds_in_words(estimate.value or 0.0, digits_of(estimate))
    if estimate.low is None or estimate.high is None:
        return f"{value} (without an interval)"
    if estimate.low <= 0.0:
        return f"nothing that could be told from 0 ({seconds_span(estimate)})"
    return f"{value} ({seconds_span(estimate)})"


def batches_in_words(batches: Sequence[BatchGrowth]) -> Iterator[str]:
    """Say from which batch size on a larger one does not pay."""
    shown = _ends(line.timesteps for line in batches)
    for line in batches:
        if line.timesteps not in shown:
            continue
        saturation, where = line.saturation, f"{line.label} at T = {line.timesteps:,}"
        if saturation.withheld:
            yield f"{where}: where a larger batch stops to pay is {saturation.reason}."
            continue
        if saturation.batch is None:
            yield (
                f"{where}: the largest batch, {line.growth.sizes[-1]:,}, still pays: the last "
                f"doubling added {saturation.last_lift.value:.0%} sequences/s."
            )
            continue
        sure = (
            ""
            if saturation.agreement is None
            else f" ({saturation.agreement:.0%} of resamples agree)"
        )
        yield (
            f"{where}: beyond batch {saturation.batch:,} doubling adds under 10% sequences/s{sure}."
        )


def meetings_in_words(crossovers: Sequence[Meeting]) -> Iterator[str]:
    """Say where two cost the same; of times also that they do not."""
    batches = {meeting.batch_size for meeting in crossovers}
    crossing = {
        (m.first, m.second) for m in crossovers if m.crossover.length.value and m.quantity == "step"
    }
    for meeting in crossovers:
        length, pair = meeting.crossover.length, f"{meeting.first} and {meeting.second}"
        where = f" at batch {meeting.batch_size}" if len(batches) > 1 else ""
        if length.value is not None:
            what = "time" if meeting.quantity == "step" else "memory"
            cheaper = meeting.first if meeting.crossover.cheaper_below == 0 else meeting.second
            mark = ", extrapolated" if meeting.crossover.extrapolated else ""
            yield (
                f"{pair}{where} cost the same {what} at T = {length.value:,.0f} "
                f"({length.low:,.0f} to {length.high:,.0f}{mark}); below it {cheaper} is cheaper."
            )
        elif meeting.quantity == "step" and (meeting.first, meeting.second) not in crossing:
            yield f"{pair}{where}: no crossover in time is known; {length.reason}."
