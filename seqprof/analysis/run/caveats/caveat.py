"""A warning: what it says, its evidence, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqprof.analysis.run.findings import Findings
from seqprof.recording import Recording, Trial

Severity = Literal["note", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """Something that a reader of the numbers must know."""

    kind: str
    severity: Severity
    text: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Case:
    """What a caveat is derived from."""

    recording: Recording
    trial: Trial
    findings: Findings


def by_severity(*caveats: Caveat) -> tuple[Caveat, ...]:
    """Return the gravest first, else in the order given."""
    order = ("error", "warning", "note")
    return tuple(sorted(caveats, key=lambda caveat: order.index(caveat.severity)))
