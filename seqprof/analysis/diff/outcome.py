"""What `seqprof diff` brings: the differences, the gate, and which metrics a reader asked for."""

from __future__ import annotations

from dataclasses import dataclass

from seqprof.analysis.diff.differences import Differences
from seqprof.analysis.diff.gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOutcome:
    """All that a report of differences is made from.

    Attributes:
        gate: outcome of ``--fail-if-slower``; None where nothing was gated.
        keys: metrics to show; None for all.
    """

    differences: Differences
    gate: Gate | None = None
    keys: tuple[str, ...] | None = None
