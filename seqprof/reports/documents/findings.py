"""Caveats in the order in which they matter: of the model first, then of the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqprof.reports.document import Block, Caveats, Only, Prose, Section, Warned

if TYPE_CHECKING:  # a trace needs none of a run's analysis
    from seqprof.analysis.run.caveats.caveat import Caveat

#: Kinds of caveats that a reader can act upon in the model; all others are about the machine, or
#: about how something was measured.
ABOUT_MODEL = frozenset(
    {
        "kernel_path",
        "layout_assumed",
        "layout_doubtful",
        "launch_bound",
        "not_linear",
        "packed",
        "packed_slower",
        "memory_grows",
        "recurrence_of_operators",
        "padding",
        "sliced_sequence",
        "unflattened_weights",
        "different_kernels",
        "different_sizes",
    }
)
NOTHING_FOUND = "No caveat: none of those that seqprof checks for in such a result applies."


def findings(caveats: Sequence[Caveat]) -> list[Section]:
    """Return the sections of all caveats: findings about the model first."""
    model = [_warned(caveat) for caveat in caveats if caveat.kind in ABOUT_MODEL]
    machine = [_warned(caveat) for caveat in caveats if caveat.kind not in ABOUT_MODEL]
    sections = [Section(title="About the model", blocks=[Caveats(caveats=model)])] if model else []
    return [*sections, about_measurement(machine, any_other=bool(model))]


def about_measurement(warned: Sequence[Warned], *, any_other: bool = False) -> Section:
    """Return the section of what limits the measurement; notes are not for the first screen."""
    grave = [one for one in warned if one.severity != "note"]
    notes = [one for one in warned if one.severity == "note"]
    blocks: list[Block] = [Caveats(caveats=grave)] if grave else []
    if notes:
        blocks.append(Only(where="detail", blocks=[Caveats(caveats=notes)]))
    if not blocks and not any_other:
        blocks.append(Only(where="page", blocks=[Prose(lines=[NOTHING_FOUND], tone="quiet")]))
    title = "About this measurement"
    on_screen = bool(grave)
    return Section(title=title, blocks=blocks, rank=0 if on_screen else 2)


def _warned(caveat: Caveat) -> Warned:
    return Warned(
        severity=caveat.severity,
        text=caveat.text,
        evidence=caveat.evidence,
        remedy=caveat.remedy,
    )


def counted(caveats: Sequence[Caveat]) -> str:
    """Return how many warnings there are, for one line; empty where there is none."""
    grave = sum(caveat.severity != "note" for caveat in caveats)
    return f"; {grave} warning{'' if grave == 1 else 's'}" if grave else ""
