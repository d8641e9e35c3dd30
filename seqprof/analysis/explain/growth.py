"""Claims 4 and 5: what a longer sequence costs, and what a larger batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt

from seqprof.analysis.compare.rounds import rounds_of, undisturbed
from seqprof.analysis.explain.claim import Claim, Evidence, Figure, Question, below
from seqprof.analysis.explain.load import (
    beside_others,
    few_rounds,
    in_words,
    most_waited,
    waited,
    without_others,
)
from seqprof.analysis.scale.growth import SATURATED_BELOW, Growth, LocalExponent, fit_growth
from seqprof.analysis.scale.summary import BatchGrowth
from seqprof.analysis.statistics import Estimate

#: "About linear": the power of T.
LINEAR = (0.75, 1.25)
#: Below this power a step hardly grows with T.
HARDLY = 0.25
#: Below this, twice the batch pays: as `scale` says where a batch saturates.
PAYS_BELOW = 2.0 / (1.0 + SATURATED_BELOW)
_NO_ROUND = "the budget ended before its first round"


def linear(evidence: Evidence) -> Claim:
    """By the times of whole steps over T."""
    label = evidence.first.label
    growth = growth_of(evidence, label)
    upper = _from_base(evidence, label)
    question = Question(
        number=4,
        label=label,
        text="Time grows about linearly with T",
        tested="whole training steps at several T, in turns; power of T from the base length on",
        figures=() if growth is None else _length_figures(growth, upper),
    )
    if growth is None or upper is None or len(upper.sizes) < 2:
        return question.untested(why_no_grid(evidence, "it was measured at fewer than two T"))
    power, low, high = upper.exponent.value, upper.exponent.low, upper.exponent.high
    if power is None or low is None or high is None:
        return question.untested(few_rounds(evidence, label))
    brief = f"T to the {power:.2f} [{low:.2f}, {high:.2f}]"
    because = f"from T = {upper.sizes[0]:,} to {upper.sizes[-1]:,} it grows as {brief}"
    down, up, most = _moved(evidence, label, upper)
    if high < LINEAR[0]:
        return _above_fixed_cost(question, evidence, upper, because, most)
    if _about_linear(power, low, high) is None:
        return question.answered(None, beside_others(most, f"{because}: too wide to tell"))
    holds = _about_linear(power, low - down, high + up)
    if holds is None:
        return question.answered(None, f"{in_words(most)}; {because}")
    return question.answered(holds, because, brief)


def _above_fixed_cost(
    question: Question, evidence: Evidence, upper: Growth, because: str, most: float
) -> Claim:
    """Answer where a step grows by less than T: a fixed cost of each step may be what hides it."""
    growing = _power_of_prices(*_prices(upper))
    longer = f"at longer T it may show: --set data.seq_len={4 * evidence.facts.base[0]}"
    if growing is None and upper.exponent.high is not None and upper.exponent.high < HARDLY:
        return question.answered(False, f"{because}: it hardly grows; {longer}")
    if growing is None:
        text = f"{longer}; {because}; noise hides whether that is a fixed cost of each step"
        return question.answered(None, beside_others(most, text))
    power, low, high = growing
    brief = f"T to the {power:.2f} [{low:.2f}, {high:.2f}]"
    because = f"{because}; what grows of it, above a fixed cost of each step, as {brief}"
    holds = _about_linear(power, low, high)
    if holds is None:
        return question.answered(None, beside_others(most, f"{because}: too wide to tell"))
    batch = evidence.facts.base[1]
    shares = {t: waited(evidence, question.label, t, batch) for t in upper.sizes}
    careful = _power_of_prices(*_prices(upper, shares.__getitem__))
    if careful is None or _about_linear(*careful) != holds:
        return question.answered(None, f"{in_words(most)}; {because}")
    return question.answered(holds, because, f"{brief} above a fixed cost")


@dataclass(frozen=True, slots=True)
class _Price:
    """What one more timestep costs between two lengths, in seconds."""

    at: float
    value: float
    low: float
    high: float


def _prices(growth: Growth, waiting: Callable[[int], float] = lambda _: 0.0) -> list[_Price]:
    """Return the prices between the first two lengths and between the last two.

    Args:
        waiting: the share of its time that a step at T waited for a processor, which is taken off.
    """
    seconds = dict(zip(growth.sizes, growth.medians_s, strict=True))

    def price(local: LocalExponent) -> _Price | None:
        known, apart = local.marginal, local.stop - local.start
        if known.value is None or known.low is None or known.high is None:
            return None
        waited_s = [seconds[t] * waiting(t) for t in (local.start, local.stop)]
        off = (waited_s[1] - waited_s[0]) / apart
        return _Price(
            at=sqrt(local.start * local.stop),
            value=known.value - off,
            low=known.low - off,
            high=known.high - off,
        )

    ends = (growth.local_exponents[0], growth.local_exponents[-1])
    return [one for one in map(price, ends) if one is not None]


def _power_of_prices(*prices: _Price) -> tuple[float, float, float] | None:
    """Return p and its bounds, of a step that takes a + c·T^p; None where it is not known.

    From T to kT one more timestep then costs k^(p - 1) times less than from kT to k²T, whatever the
    fixed cost a.
    """
    if len(prices) < 2 or prices[0].at == prices[1].at or min(one.low for one in prices) <= 0.0:
        return None
    short, long = prices
    span = log(long.at / short.at)

    def power(over: float, under: float) -> float:
        return 1.0 + log(over / under) / span

    value = power(long.value, short.value)
    return value, power(long.low, short.high), power(long.high, short.low)


def _moved(evidence: Evidence, label: str, growth: Growth) -> tuple[float, float, float]:
    """Return by how much others may have moved the power down and up, and the larger share."""
    batch, (first, *_, last) = evidence.facts.base[1], growth.sizes
    short, long = (waited(evidence, label, t, batch) for t in (first, last))
    span = log(last / first)
    return -log(1.0 - long) / span, -log(1.0 - short) / span, max(short, long)


def _from_base(evidence: Evidence, label: str) -> Growth | None:
    """Fit the lengths from the base on: shorter ones tell more of what no length pays for."""
    scaling, (base, batch) = evidence.facts.scaling, evidence.facts.base
    if scaling is None:
        return None
    times = [
        (trial.workload.sizes[0], seconds)
        for candidate, trial in zip(scaling.candidates, scaling.trials, strict=True)
        if candidate.label == label and trial.workload.batch_size == batch
        for seconds in rounds_of(undisturbed(trial)).step
        if trial.workload.sizes[0] >= base
    ]
    return fit_growth([size for size, _ in times], [seconds for _, seconds in times])


def _about_linear(power: float, low: float, high: float) -> bool | None:
    """None where the interval neither lies apart from what is linear nor tells enough."""
    if high < LINEAR[0] or low > LINEAR[1]:
        return False
    inside = LINEAR[0] <= power <= LINEAR[1]
    return True if inside and high - low <= LINEAR[1] - LINEAR[0] else None


def _length_figures(growth: Growth, upper: Growth | None) -> tuple[Figure, ...]:
    from_base = [] if upper is None or len(upper.sizes) < 2 else [upper]
    return (
        Figure(name="one more timestep costs", estimate=growth.marginal),
        Figure(name="power of T over all", estimate=growth.exponent),
        *(
            Figure(name=f"power of T from {one.sizes[0]:,} on", estimate=one.exponent)
            for one in from_base
        ),
        *(
            Figure(name=f"power from T = {one.start:,} to {one.stop:,}", estimate=one.exponent)
            for one in growth.local_exponents
        ),
    )


def growth_of(evidence: Evidence, label: str) -> Growth | None:
    """Return how a candidate's step grows with T at the base's batch size."""
    if evidence.scaled is None:
        return None
    _, batch = evidence.facts.base
    return next(
        (
            line.growth
            for line in evidence.scaled.lengths
            if line.label == label and line.phase == "step" and line.batch_size in (batch, None)
        ),
        None,
    )


def why_no_grid(evidence: Evidence, otherwise: str) -> str:
    """Say why the first candidate has no times at several points."""
    facts = evidence.facts
    failed = [] if evidence.scaled is None else evidence.scaled.points
    failures = [
        _NO_ROUND if p.failed == "no round was measured" else p.failed
        for p in failed
        if p.label == evidence.first.label and p.failed
    ]
    return facts.grid_reason or facts.scaling_reason or next(iter(failures), otherwise)


# 5 --------------------------------------------------------------------------------------------


def batch(evidence: Evidence) -> Claim:
    """By the times of whole steps over the batch."""
    line = _batches(evidence)
    question = Question(
        number=5,
        label=evidence.first.label,
        text="The other sequences of a batch run in parallel",
        tested="whole training steps at several batch sizes, in turns: whether twice the smallest "
        "takes less than twice the time",
        figures=() if line is None else _batch_figures(evidence, line),
    )
    if line is not None and len(line.growth.sizes) > 1 and not line.growth.local_exponents:
        return question.untested(in_words(most_waited(evidence, line.label)))  # withheld by scale
    if line is None or not line.growth.local_exponents:
        return question.untested(why_no_grid(evidence, "it was measured at one batch size only"))
    first = line.growth.local_exponents[0]
    ratio = doubled(first.exponent)
    if ratio.low is None or ratio.high is None or ratio.value is None:
        return question.untested(few_rounds(evidence, line.label))
    brief = f"twice batch {first.start} takes {ratio.value:.2f}×; {_where(line)}"
    because = (
        f"the step, in which each sequence is, takes {ratio.value:.2f}× "
        f"[{ratio.low:.2f}, {ratio.high:.2f}] from batch {first.start} to {first.stop}; "
        f"{_where(line)}"
    )
    one, two = (waited(evidence, line.label, line.timesteps, b) for b in (first.start, first.stop))
    if below(ratio, PAYS_BELOW) is None:
        text = f"{because}; noise hides whether twice the batch pays"
        return question.answered(None, beside_others(max(one, two), text))
    holds = below(without_others(ratio, two, one), PAYS_BELOW)
    if holds is None:
        return question.answered(None, f"{in_words(max(one, two))}; {because}")
    return question.answered(holds, because, brief)


def _batches(evidence: Evidence) -> BatchGrowth | None:
    wanted = (evidence.first.label, evidence.facts.base[0])
    lines = () if evidence.scaled is None else evidence.scaled.batches
    return next((line for line in lines if (line.label, line.timesteps) == wanted), None)


def _where(line: BatchGrowth) -> str:
    if line.saturation.batch is not None:
        return f"saturates at batch {line.saturation.batch}"
    return f"no saturation up to batch {line.growth.sizes[-1]}"


def _batch_figures(evidence: Evidence, line: BatchGrowth) -> tuple[Figure, ...]:
    assert evidence.scaled is not None
    latencies = [
        Figure(name=f"latency of each sequence (the step) at batch {p.batch_size}", estimate=p.step)
        for p in evidence.scaled.points
        if (p.label, p.timesteps) == (line.label, line.timesteps) and p.failed is None
    ]
    ratios = [
        Figure(name=f"batch {one.stop} against {one.start}", estimate=doubled(one.exponent))
        for one in line.growth.local_exponents
    ]
    return (
        *latencies,
        *ratios,
        Figure(name="one more sequence costs", estimate=line.growth.marginal),
        Figure(name="the last doubling adds to sequences/s", estimate=line.saturation.last_lift),
    )


def doubled(exponent: Estimate) -> Estimate:
    """Return what twice the size takes, as a ratio of times."""
    low, high = exponent.low, exponent.high
    return Estimate(
        value=None if exponent.value is None else 2.0**exponent.value,
        low=None if low is None else 2.0**low,
        high=None if high is None else 2.0**high,
        unit="1",
        method="2 to the power of log(time ratio) / log(size ratio)",
        n=exponent.n,
        reason=exponent.reason,
    )
