"""All that the agent wrote in one process, and what its lines say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from seqprof.analysis.loop.log import LoopEvent, decode, read_pairs

Fact = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """The log of one process.

    Attributes:
        facts: the lines of JSON, in the order in which they were written.
        marks: blocks of timestep marks, packed.
        device_marks: of each mark, by the host's time: the accelerator's, never 0.
    """

    name: str
    events: list[LoopEvent]
    facts: list[Fact] = field(default_factory=list)
    marks: bytes = b""
    device_marks: dict[int, int] = field(default_factory=dict)

    def all_of(self, name: str) -> list[Fact]:
        """Every fact of one sort."""
        return [fact for fact in self.facts if fact.get("fact") == name]

    def last_of(self, name: str) -> Fact | None:
        """The last fact of one sort; None if there is none."""
        facts = self.all_of(name)
        return facts[-1] if facts else None

    def by_key(self, name: str) -> dict[int, Fact]:
        """Facts of things that events name by a number."""
        return {int(fact["key"]): fact for fact in self.all_of(name) if "key" in fact}


def read_process(
    name: str,
    events: bytes,
    facts: str,
    marks: bytes,
    device: bytes = b"",
    device_marks: bytes = b"",
) -> ProcessLog:
    """Decode the files of one process; a last line that was cut short is left out."""
    return ProcessLog(
        name, decode(events, device), list(_lines(facts)), marks, read_pairs(device_marks)
    )


def _lines(text: str) -> Iterator[Fact]:
    for line in text.splitlines():
        try:
            fact = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(fact, dict):
            yield fact
