"""Warnings that the recordings of a comparison carry: nobody reads a ratio without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from msgspec import Meta

from seqprof.analysis.run.caveats.caveat import Caveat, Severity
from seqprof.analysis.run.phases import headline_steps
from seqprof.analysis.run.summary import summarise
from seqprof.analysis.statistics import drift
from seqprof.recording import Recording, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedWarning:
    """One kind of warning, and what shows it in each side."""

    kind: str
    severity: Severity
    text: str
    remedy: str
    base: Annotated[str | None, Meta(description="evidence in the base; null where it has none")]
    new: Annotated[str | None, Meta(description="evidence in the new; null where it has none")]


#: A recording's caveats, as the analysis of its kind brings them.
CaveatsOf: TypeAlias = Callable[[Recording], Sequence[Caveat]]


def caveats_of_run(recording: Recording) -> Sequence[Caveat]:
    """Return a run's caveats; of other kinds none."""
    return summarise(recording).caveats if recording.kind == "run" else ()


def carried_warnings(
    base: Sequence[Recording], new: Sequence[Recording], caveats_of: CaveatsOf
) -> tuple[CarriedWarning, ...]:
    """Return the warnings of both sides, those that both carry first."""
    sides = [_by_kind(base, caveats_of), _by_kind(new, caveats_of)]
    carried = []
    for kind in dict.fromkeys([*sides[0], *sides[1]]):
        own = [side.get(kind) for side in sides]
        caveat = next(shown for shown in own if shown is not None)[0]
        evidence = [None if shown is None else shown[1] for shown in own]
        carried.append(
            CarriedWarning(
                kind=kind,
                severity=caveat.severity,
                text=caveat.text,
                remedy=caveat.remedy,
                base=evidence[0],
                new=evidence[1],
            )
        )
    return tuple(sorted(carried, key=lambda one: one.base is None or one.new is None))


def _by_kind(side: Sequence[Recording], caveats_of: CaveatsOf) -> dict[str, tuple[Caveat, str]]:
    """Return each kind's first warning with its evidence, and in how many recordings it is."""
    warned: dict[str, list[Caveat]] = {}
    for recording in side:
        for caveat in _warnings(caveats_of(recording)):
            warned.setdefault(caveat.kind, []).append(caveat)
    return {kind: (caveats[0], _evidence(caveats, len(side))) for kind, caveats in warned.items()}


def _evidence(caveats: Sequence[Caveat], runs: int) -> str:
    of = f" (in {len(caveats)} of {runs} recordings)" if runs > 1 else ""
    return caveats[0].evidence + of


def _warnings(caveats: Sequence[Caveat]) -> list[Caveat]:
    """Return the warnings among the caveats, of each kind one."""
    first = {caveat.kind: caveat for caveat in reversed(caveats) if caveat.severity != "note"}
    return list(reversed(first.values()))


def largest_drift(trials: Sequence[Trial]) -> float:
    """Return the largest drift of the steps' times while one of the trials was measured."""
    drifts = [drift([step.wall_s for step in headline_steps(trial)]) for trial in trials]
    return max((abs(value) for value in drifts if value is not None), default=0.0)
