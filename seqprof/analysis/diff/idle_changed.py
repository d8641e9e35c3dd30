"""Idle time by phase and cause, where both runs had a profiled pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.recording import ProfiledPass


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleChange:
    """Idle time of one phase, or of the step, by its cause: means per profiled step."""

    phase: str
    on: Annotated[str, Meta(description="device, or processor where operators stand in")]
    cause: str
    base_s: float
    new_s: float


def compare_idle(
    base: ProfiledPass | None, new: ProfiledPass | None
) -> tuple[tuple[IdleChange, ...], str | None]:
    """Return idle by phase and cause where both runs had a profiled pass, or why not."""
    for name, made in (("base", base), ("new", new)):
        if made is None or made.whole is None:
            why = made.reason if made is not None and made.reason else "it has no profiled pass"
            return (), f"no kernel timeline in the {name}: {why}"
    if base is None or new is None:  # for the type checker: the loop has returned
        return (), None
    if base.on != new.on:
        return (), f"one timeline is of the {base.on}, the other of the {new.on}"
    return tuple(_idle(base, new)), None


def _idle(base: ProfiledPass, new: ProfiledPass) -> Iterator[IdleChange]:
    before = {part.phase: part for part in (*base.phases, base.whole) if part is not None}
    after = {part.phase: part for part in (*new.phases, new.whole) if part is not None}
    for phase in dict.fromkeys((*before, *after)):
        old = before[phase].idle_by_cause_s if phase in before else {}
        now = after[phase].idle_by_cause_s if phase in after else {}
        for cause in dict.fromkeys((*old, *now)):
            yield IdleChange(
                phase=phase,
                on=new.on,
                cause=cause,
                base_s=old.get(cause, 0.0),
                new_s=now.get(cause, 0.0),
            )
