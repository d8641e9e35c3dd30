"""Every quantity of a run by its entry, so that a new one is shown without an edit here."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.quantities import Quantity, values
from seqprof.analysis.run.quantities.run import RUN, Measured
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.statistics import Estimate
from seqprof.recording import Trial
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import DETAIL, Cell, Column, Section, Table, heads, word

#: A table by phase holds these.
_BY_PHASE = ("phase", "busy", "dwell")


def quantity_section(summary: Summary, trial: Trial) -> Section:
    """Return what belongs to the step, and what belongs to its phases, quantity by quantity."""
    read = list(values(RUN, Measured(summary, trial)))
    whole = [(quantity, estimate) for quantity, estimate, _ in read if quantity.group == "step"]
    phases: dict[str, dict[str, Estimate]] = {}
    known: dict[str, Quantity] = {}
    for quantity, estimate, place in read:
        phase = place.get("phase")
        if quantity.group in _BY_PHASE and phase:
            known[quantity.key] = quantity
            phases.setdefault(quantity.key, {}).setdefault(phase, estimate)
    blocks = [_of_step(whole), *([_of_phases(known, phases)] if known else [])]
    return Section(title="Every quantity", blocks=blocks, rank=DETAIL)


def _of_step(read: Sequence[tuple[Quantity, Estimate]]) -> Table:
    return Table(
        caption="Of the step",
        columns=heads("quantity", "value", "n"),
        rows=[
            [word(quantity.label), _cell(quantity, estimate), _count(estimate)]
            for quantity, estimate in read
        ],
        by_row=True,
    )


def _of_phases(known: dict[str, Quantity], read: dict[str, dict[str, Estimate]]) -> Table:
    phases = list(dict.fromkeys(phase for own in read.values() for phase in own))
    return Table(
        caption="Of each phase",
        columns=[Column(name="quantity"), *(Column(name=phase) for phase in phases)],
        rows=[
            [
                word(known[key].label),
                *(_cell(known[key], own[phase]) if phase in own else word("") for phase in phases),
            ]
            for key, own in read.items()
        ],
        by_row=True,
    )


def _count(estimate: Estimate) -> Cell:
    """Empty for a value that is no statistic of samples."""
    return word(f"{estimate.n:,}" if estimate.n or estimate.value is None else "")


def _cell(quantity: Quantity, estimate: Estimate) -> Cell:
    if quantity.group == "busy" and quantity.dimension.name == "share":
        return cells.number(estimate, q.busy)
    if quantity.key == "idle_time" and (estimate.value or 0.0) <= 0.0:
        return cells.number(estimate, lambda _: "none that could be measured")
    return cells.number(estimate, lambda known: q.text(quantity.dimension, known))
