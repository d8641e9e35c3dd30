"""Counts of operations at a few lengths → depth and work at the T of a recording, by their laws."""

from __future__ import annotations

from typing import Literal

from seqprof.analysis.depth.laws import Law, fit_law
from seqprof.recording import CountedDepth, DepthLaw


def depth_law(
    counted: CountedDepth, timesteps: int, source: Literal["shapes", "step"] = "shapes"
) -> DepthLaw:
    """Depth and work at ``timesteps``: as counted there, else as the law of the others says."""
    depth = dict(zip(counted.lengths, counted.depth_ops, strict=True))
    work = dict(zip(counted.lengths, counted.work_ops, strict=True))
    law, work_law = fit_law(depth, counted.chunk), fit_law(work, counted.chunk)
    return DepthLaw(
        timesteps=timesteps,
        depth_ops=depth.get(timesteps, _whole(law.at(timesteps))),
        work_ops=work.get(timesteps, _whole(work_law.at(timesteps))),
        law=law.text,
        coefficients=law.coefficients,
        lengths=tuple(sorted(depth)),
        batch_size=counted.batch_size,
        reason=law.reason or (None if timesteps in depth else _silent(law, timesteps)),
        source=source,
        counted=counted,
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else round(count)


def _silent(law: Law, timesteps: int) -> str | None:
    """Why the law says nothing at this T; None where it does."""
    if law.at(timesteps) is not None:
        return None
    return f"the law is {law.holds}; recording T = {timesteps} itself takes too long"
