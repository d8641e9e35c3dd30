"""What kind of kernels a model ran on, told from the operations that torch dispatched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from seqprof.recording import DepthLaw, LengthCount, OperationCount

#: One call of these handles a whole sequence through a recurrent layer.
FUSED = ("mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn")
Kernels = Literal["fused", "unrolled", "whole_sequence", "compiled", "unknown"]


def kind_of_kernels(
    operations: Sequence[OperationCount],
    timesteps: int,
    depth: DepthLaw | None = None,
    lengths: Sequence[LengthCount] = (),
) -> Kernels:
    """Return ``fused``, ``unrolled`` or ``whole_sequence``.

    ``fused``: a recurrent layer is one primitive. ``unrolled``: the forward launches at least one
    operation per timestep, as many more for a longer sequence where two ``lengths`` were counted,
    and its longest chain grows with T where the law of ``depth`` is known (a scan over short
    sequences launches as many). ``whole_sequence``: neither.
    """
    forward = [count for count in operations if count.phase == "forward"]
    if not forward:
        return "unknown"
    if fused_primitive(operations) is not None:
        return "fused"
    calls = sum(count.calls for count in forward)
    per = _growth(lengths)
    if per is not None and per < 1:
        return "whole_sequence"
    known = depth is not None and depth.law is not None
    terms = depth.coefficients if depth is not None else {}
    grows = not known or any(term.startswith("T") for term in terms)  # T, T², T·⌈log2 T⌉
    return "unrolled" if calls >= timesteps and grows else "whole_sequence"


def fused_primitive(operations: Sequence[OperationCount]) -> str | None:
    """Return the name of the recurrent primitive that was called; None where none was."""
    for count in operations:
        name = count.name.partition("::")[2]
        if count.phase == "forward" and name.startswith(FUSED):
            return name
    return None


def _growth(lengths: Sequence[LengthCount]) -> float | None:
    """Return the operations that one more timestep takes; None where one length was counted."""
    ordered = sorted(lengths, key=lambda one: one.timesteps)
    if len(ordered) < 2 or ordered[0].timesteps == ordered[-1].timesteps:
        return None
    more = ordered[-1].operations - ordered[0].operations
    return more / (ordered[-1].timesteps - ordered[0].timesteps)


def operations_per_timestep(
    operations: Sequence[OperationCount], timesteps: int, lengths: Sequence[LengthCount] = ()
) -> float:
    """Return the launches of the forward for each timestep: by two lengths, else in the mean."""
    per = _growth(lengths)
    if per is not None:
        return per
    return sum(count.calls for count in operations if count.phase == "forward") / timesteps
