"""What is said of a model's sequential depth beside its tables, on the console and on the page."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.laws import Law
from seqprof.analysis.model_depth import Assumptions, ModelDepth
from seqprof.reports import quantities as q


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
    found = depth.at.step.depth_ops_by_storage
    if found is None or found == depth.at.step.depth_ops:
        return
    yield (
        "by storage",
        f"{found:,} ({said(depth.storage_law)}; forward {said(depth.forward_storage_law)}), if "
        "operations on parts of one storage waited for each other, between which no data flows",
    )


def said(law: Law) -> str:
    """Return the law, or why there is none."""
    return law.text or law.reason or q.NOTHING


def peak(assumptions: Assumptions) -> str:
    """Return the arithmetic at best that is assumed, and where it is from."""
    if assumptions.peak_flops is None:
        return f"not known ({assumptions.peak_source})"
    return f"{assumptions.peak_flops / 1e12:g} TFLOP/s ({assumptions.peak_source})"
