"""What one more timestep costs, derived where none was timed."""

from __future__ import annotations

from seqprof.analysis.run.natural import METHOD as NATURAL
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.statistics import Estimate
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import Cell, Section, Table, heads, none, word


def _fixed(fixed: Estimate) -> Cell:
    """Write what is left at T = 0; a line that meets the axis below it leaves nothing to name."""
    if fixed.value is not None and fixed.value <= 0.0:
        return none("the line through the sweep leaves nothing at T = 0")
    return cells.time(fixed)


def marginal_sections(summary: Summary, rank: int = 0) -> list[Section]:
    """Return the derived cost of one more timestep; none where it was not swept."""
    if not summary.marginal:
        return []
    rows = [
        [
            word(cost.phase),
            cells.number(cost.marginal, lambda marginal: f"{q.slope(marginal)} (derived)"),
            cells.interval(cost.marginal),
            _fixed(cost.fixed),
            none(cost.marginal.reason or "not measured")
            if cost.shortest is None
            else word(f"{cost.shortest}–{cost.longest}"),
            none(cost.marginal.reason or "not measured")
            if cost.misfit is None
            else Cell(text=f"{cost.misfit:.0%}", method="largest |median − line| / median"),
        ]
        for cost in summary.marginal
    ]
    first = summary.marginal[0].marginal
    of = "bare steps on prefixes of the sequences"
    if first.method == NATURAL:
        of = "steps whose T differs by itself (natural variation)"
    table = Table(
        caption="Marginal cost of a timestep",
        columns=heads(
            "phase", "per timestep", ("95 % interval", "95%"), "fixed", "T", ("misfit", "misfit", 1)
        ),
        rows=rows,
        remarks=[
            f"Derived: Theil-Sen slope of time over T, {first.n} {of}, not timed one by one: the "
            "price of one more timestep, and no timestep's own latency. fixed: what is left at "
            "T = 0."
        ],
    )
    return [
        Section(
            title="Cost of one more timestep (derived, not timed one by one)",
            blocks=[table],
            rank=rank,
        )
    ]
