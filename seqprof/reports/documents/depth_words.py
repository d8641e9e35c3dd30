"""What is said of a model's sequential depth beside its tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from seqprof.analysis.depth.laws import Law
from seqprof.analysis.depth.model_depth import Assumptions, DepthSummary, ModelDepth
from seqprof.reports import quantities as q


def depth_in_words(summary: DepthSummary) -> list[str]:
    """Say how much of the work must wait, model by model, and how they differ at the same T."""
    models = sorted(summary.models, key=lambda model: -model.at.step.depth_ops)
    lines = [_alone(model) for model in summary.models]
    for deep, flat in pairwise(models):
        if deep.at.timesteps == flat.at.timesteps and flat.at.step.depth_ops:
            ratio = deep.at.step.depth_ops / flat.at.step.depth_ops
            lines.append(
                f"At T = {deep.at.timesteps:,} {deep.recorded.model} has "
                f"{deep.at.step.depth_ops:,} operations that wait for each other, "
                f"{flat.recorded.model} {flat.at.step.depth_ops:,}: {_times(ratio)}."
            )
    return lines


def _times(ratio: float) -> str:
    if ratio < 1.005:
        return "the same"
    return f"{ratio:,.0f} times as many" if ratio >= 10 else f"{ratio:.3g} times as many"


def _alone(model: ModelDepth) -> str:
    depth, work = model.at.step.depth_ops, model.at.step.work_ops
    grows = any(term != "1" for term in model.depth_law.coefficients)
    law = model.depth_law.text
    how = (
        f", and the chain grows as {law}"
        if law is not None and grows
        else ", at any T"
        if law is not None
        else ""
    )
    share = f", {depth / work:.0%} of all" if work else ""
    return (
        f"{model.recorded.model}: {depth:,} of {work:,} operations of a step wait for each other "
        f"at T = {model.at.timesteps:,}{share}{how}."
    )


def facts(depth: ModelDepth) -> Iterator[tuple[str, str]]:
    """Yield labels and what belongs to them."""
    recorded = depth.recorded
    lengths = ", ".join(str(point.timesteps) for point in recorded.points)
    yield "law", f"{depth.depth_law.holds}; recorded T = {lengths}"
    yield "law of work", said(depth.work_law)
    if depth.one_more is not None:
        more = depth.one_more
        yield (
            "one more t",
            f"{more.work_ops:+,} operations, {more.depth_ops:+,} on the longest chain "
            f"(T = {more.timesteps} to {more.timesteps + 1})",
        )
    if recorded.hidden_scans:
        hidden = ", ".join(f"{count:,} × {name}" for name, count in recorded.hidden_scans.items())
        yield (
            "hidden chains",
            f"{hidden}: one operation each above; counted as log2 n the depth is "
            f"{depth.at.step.depth_ops_scans_as_log2:,} ({said(depth.scans_law)})",
        )
    yield from _by_storage(depth)
    for derived, label in (
        (depth.within_timestep, "within t"),
        (depth.across_timesteps, "across t"),
    ):
        if derived.reason:
            yield label, derived.reason
    for note in recorded.notes:
        yield "note", note


def _by_storage(depth: ModelDepth) -> Iterator[tuple[str, str]]:
    by_storage = depth.at.step.depth_ops_by_storage
    if by_storage is None or by_storage == depth.at.step.depth_ops:
        return
    yield (
        "by storage",
        f"{by_storage:,} ({said(depth.storage_law)}; forward {said(depth.forward_storage_law)}), "
        "if operations on parts of one storage waited for each other, between which no data flows",
    )


def said(law: Law) -> str:
    """Return the law, or why there is none."""
    return law.text or law.reason or q.NOTHING


def peak(assumptions: Assumptions) -> str:
    """Return the arithmetic at best that is assumed, and where it is from."""
    if assumptions.peak_flops is None:
        return f"not known ({assumptions.peak_source})"
    return f"{assumptions.peak_flops / 1e12:g} TFLOP/s ({assumptions.peak_source})"
