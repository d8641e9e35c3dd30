"""What changed between two recordings, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.diff.differences import CaseChange, Differences
from seqprof.analysis.diff.gate import Gate, GatedMetric
from seqprof.analysis.diff.metric_change import MetricChange
from seqprof.analysis.diff.timesteps_changed import BinChange, LoopChange
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import decimals, digits_of, seconds_in_words

_BPTT = {"forward": "forward", "backward": "BPTT"}


def ratio_in_words(ratio: Estimate) -> str:
    """Write a ratio with the digits that its interval supports, at least two decimals."""
    if ratio.value is None:
        return "—"
    places = min(3, max(2, decimals(ratio.value, digits_of(ratio))))
    return f"{ratio.value:.{places}f}"


def interval_in_words(ratio: Estimate) -> str:
    """Write the interval of a ratio, or a dash."""
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return "—"
    places = min(3, max(2, decimals(ratio.value, digits_of(ratio))))
    return f"{ratio.low:.{places}f}–{ratio.high:.{places}f}"


def times_in_words(ratio: Estimate) -> str:
    """Write a ratio with its interval: ``1.12× (0.64–1.84)``."""
    return f"{ratio_in_words(ratio)}× ({interval_in_words(ratio)})"


def in_words(differences: Differences) -> tuple[str, ...]:
    """Return what a reader must know: the step, phases that moved, where, and what is missing."""
    several = len(differences.cases) > 1
    return tuple(
        f"{case.name}: {sentence}" if several else sentence
        for case in differences.cases
        for sentence in _case(case)
    )


def _case(case: CaseChange) -> Iterator[str]:
    yield _step(case.find("step_time"))
    moved = [m for m in case.metrics if m.metric == "phase_time" and m.moved]
    if moved:
        parts = (f"{m.phase} {m.verdict}, {ratio_in_words(m.ratio)} times" for m in moved)
        yield f"Phases: {'; '.join(parts)}."
    for loop in case.loops:
        yield from _where(loop)
    counts = [m for m in case.metrics if m.metric == "operations" and m.moved]
    if counts:
        parts = (f"{m.phase} {_count(m.base)} → {_count(m.new)}" for m in counts)
        yield f"Operations launched: {'; '.join(parts)}."
    yield from _one_sided(case)


def _count(estimate: Estimate) -> str:
    return "—" if estimate.value is None else f"{estimate.value:,.0f}"


def _step(step: MetricChange) -> str:
    ratio, interval = ratio_in_words(step.ratio), interval_in_words(step.ratio)
    if step.ratio.value is None:
        return f"The step cannot be compared: {step.ratio.reason}."
    if step.verdict is None:
        return f"A step takes {ratio} times as long, from too few steps to say how sure that is."
    if step.verdict in ("slower", "faster"):
        return f"A step is {step.verdict}: {ratio} times as long (95 %: {interval})."
    if step.verdict == "equivalent":
        return f"A step takes the same time, within the interval {interval}."
    return f"Inconclusive: a step takes {ratio}× as long (95 %: {interval}){_doubt(step)}."


def _doubt(step: MetricChange) -> str:
    """Say why a ratio whose interval leaves out 1 is no verdict: what has to agree does not."""
    low, high = step.ratio.low, step.ratio.high
    if low is None or high is None or low <= 1.0 <= high:
        return ""
    witnesses = (
        ("the fast quartile of its steps", step.fast),
        ("its processor time, which other programs change less,", step.processor),
    )
    for name, witness in witnesses:
        if witness is not None and not _same_side(step.ratio, witness):
            interval = interval_in_words(witness)
            return f", but {name} is {ratio_in_words(witness)} times (95 %: {interval})"
    return ""


def _same_side(ratio: Estimate, witness: Estimate) -> bool:
    if ratio.low is not None and ratio.low > 1.0:
        return witness.low is not None and witness.low > 1.0
    return witness.high is not None and witness.high < 1.0


def _where(loop: LoopChange) -> Iterator[str]:
    name = f"{loop.loop}, {_BPTT[loop.phase]} ({loop.clock} clock)"
    typical = loop.typical.value
    bins = [part for part in loop.bins if part.stands_out]
    if bins and typical is not None:
        parts = (f"{stretch_in_words(b)} {ratio_in_words(b.ratio)} times" for b in bins)
        yield f"{name}: slower at timesteps {', '.join(parts)} (elsewhere {typical:.2f})."
    if loop.slower:
        parts = (
            f"{t.timestep} ({seconds_in_words(t.base_s, 2)} → {seconds_in_words(t.new_s, 2)})"
            for t in loop.slower
        )
        more = loop.slower_timesteps - len(loop.slower)
        rest = f" and {more} more" if more > 0 else ""
        yield f"{name}: single timesteps that became slower: {', '.join(parts)}{rest}."


def _unexpectedly_absent(metric: MetricChange) -> bool:
    """Whether one value is null, or both are known and still have no ratio."""
    base, new = metric.base.value, metric.new.value
    if base is None or new is None:
        return (base is None) != (new is None)
    return metric.ratio.value is None and base > 0.0 and new > 0.0


def stretch_in_words(part: BinChange) -> str:
    """Write which timesteps a bin has."""
    return f"{part.first}–{part.last}" if part.last > part.first else f"{part.first}"


def _one_sided(case: CaseChange) -> Iterator[str]:
    """A value that only one run has is said: its absence is no sign of sameness."""
    absent: dict[str, list[str]] = {}
    for metric in case.metrics:
        if _unexpectedly_absent(metric):
            absent.setdefault(metric.ratio.reason or "not said why", []).append(metric.key)
    for reason, keys in absent.items():
        yield f"Not compared, {reason}: {', '.join(keys)}."


def gate_in_words(gate: Gate) -> tuple[str, ...]:
    """Return a line for each gated metric."""
    return tuple(_gated(gate, metric) for metric in gate.metrics)


def _gated(gate: Gate, metric: GatedMetric) -> str:
    limit = f"{100 * gate.threshold:.4g}%"
    name = f"{metric.metric} ({metric.case})"
    slowdown = times_in_words(metric.slowdown)
    if metric.verdict == "failed":
        return f"FAILED: {name} is worse by more than {limit}: {slowdown}"
    if metric.verdict == "passed":
        return f"passed: {name} is not worse by more than {limit}: {slowdown}"
    if metric.verdict == "inconclusive":
        return (
            f"inconclusive: {name} {times_in_words(metric.slowdown)} against a limit of {limit}; "
            f"{metric.reason}"
        )
    return f"not compared: {name}: {metric.reason}"
