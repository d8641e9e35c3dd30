"""The document of `seqprof scale`."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.trust import doubts
from seqprof.analysis.scale.growth import DESCRIBES_WITHIN, SATURATED_BELOW
from seqprof.analysis.scale.summary import BatchGrowth, LengthGrowth, Meeting, Point, ScaledSummary
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    USEFUL,
    Block,
    Cell,
    Document,
    Facts,
    Folded,
    Only,
    Prose,
    Section,
    Table,
    View,
    heads,
    none,
    word,
)
from seqprof.reports.documents.findings import counted, findings
from seqprof.reports.documents.place import place, place_in_short, when
from seqprof.reports.documents.scale_plots import (
    batch_chart,
    depth_chart,
    length_chart,
    line_name,
)
from seqprof.reports.formats import Result

_TOO_FEW = ("Too few points were measured to tell how it grows.",)
_BUSY = {
    "busy_fraction": "idle: time − kernels' seconds in profiled steps",
    "nvml_utilization": "idle: 1 − NVML's utilization while the step was repeated",
    "core_busy_fraction": "cores idle: 1 − process CPU time / (wall time × threads); no GPU found",
}
_MEMORY = {
    "allocator": "peak memory: the allocator's",
    "resident_set": "peak memory: of the whole process, Python and torch included",
}


def document(result: Result, view: View) -> Document:
    """Return the document of one scaling."""
    summary: ScaledSummary = result.summary
    labels = list(dict.fromkeys(point.label for point in summary.points))
    said = summary.sentences or _TOO_FEW
    subtitle = [place_in_short(summary.environment), f"{_rounds(summary)} rounds"]
    return Document(
        title=f"Growth of {', '.join(labels)}",
        subtitle=" · ".join([*subtitle, when(summary.created)]),
        line=" ".join(said) + counted(summary.caveats),
        sections=[
            _answer(summary, said),
            *_along_lengths(summary),
            *_along_batches(summary),
            *_crossovers(summary.crossovers),
            *(_points(label, summary, len(labels) > 1) for label in labels),
            *findings(summary.caveats),
            _next(summary, labels),
            _about(summary),
        ],
    )


def _rounds(summary: ScaledSummary) -> str:
    rounds = [point.step.n for point in summary.points if not point.failed] or [0]
    same = len(set(rounds)) == 1
    return str(rounds[0]) if same else f"{min(rounds)} to {max(rounds)}"


def _answer(summary: ScaledSummary, said: Sequence[str]) -> Section:
    unsure = doubts([point.step for point in summary.points], summary.caveats)
    blocks: list[Block] = [Prose(lines=[unsure], tone="doubt")] if unsure else []
    blocks.append(Prose(lines=said, tone="answer"))
    return Section(title="", name="The answer", blocks=blocks)


# Over T and over the batch ----------------------------------------------------------------------


def _along_lengths(summary: ScaledSummary) -> list[Section]:
    if not summary.lengths:
        return []
    apart = [length_chart(summary, "forward"), length_chart(summary, "backward")]
    depth = depth_chart(summary)
    blocks: list[Block] = [
        length_chart(summary, "step"),
        *([Only(where="page", blocks=[depth])] if depth is not None else []),
        Only(
            where="detail",
            blocks=[
                _growth_table(summary.lengths),
                _local_table(summary.lengths),
                *([] if depth is None else [Only(where="detail", blocks=[depth.table])]),
            ],
        ),
        Only(where="page", blocks=[Folded(summary="Forward and backward apart", blocks=apart)]),
    ]
    return [Section(title="Growth with the sequence length T", blocks=blocks)]


def _growth_table(lines: Sequence[LengthGrowth]) -> Table:
    rows = [
        [
            word(line_name(line)),
            word(line.phase),
            cells.number(line.growth.marginal, q.slope),
            cells.interval(line.growth.marginal),
            _fixed(line),
            _misfit(line.growth.line_misfit),
            cells.number(line.growth.exponent, q.power),
            cells.interval(line.growth.exponent, q.power_interval),
            _misfit(line.growth.power_misfit),
        ]
        for line in lines
    ]
    return Table(
        caption="Fits over T",
        columns=heads(
            "candidate",
            "phase",
            ("per timestep (derived)", "per\ntimestep*"),
            ("95 % interval", "95 %\ninterval"),
            "fixed",
            ("misfit of the line", "misfit:\nline"),
            ("power of T", "power\nof T"),
            ("95 % interval of it", "95 %\ninterval"),
            ("misfit of the power", "misfit:\npower"),
        ),
        rows=rows,
        remarks=[
            "* derived: Theil–Sen slope over the lengths. misfit: largest distance of a median "
            "from the fit, over the median. fixed: what no timestep pays for; not given where "
            f"the line misses a median by over {DESCRIBES_WITHIN:.0%}, or the interval reaches 0."
        ],
    )


def _fixed(line: LengthGrowth | BatchGrowth) -> Cell:
    """Write the intercept where it means something: a line that fits, a cost above nothing."""
    growth = line.growth
    if growth.fixed.value is None:
        return cells.time(growth.fixed)
    if not growth.is_line:
        return none(f"the line misses a median by over {DESCRIBES_WITHIN:.0%}")
    if growth.fixed.low is None or growth.fixed.low <= 0.0:
        return none("its interval reaches 0")
    return cells.time(growth.fixed)


def _misfit(value: float | None) -> Cell:
    if value is None:
        return none("nothing was fitted")
    return Cell(text=f"{value:.0%}", method="largest |median − fit| / median")


def _local_table(lines: Sequence[LengthGrowth]) -> Table:
    rows = [
        [
            word(line_name(line)),
            word(f"{part.start:,}–{part.stop:,}"),
            cells.number(part.exponent, q.power),
            cells.interval(part.exponent, q.power_interval),
            cells.number(part.marginal, q.slope),
        ]
        for line in lines
        if line.phase == "step"
        for part in line.growth.local_exponents
    ]
    return Table(
        caption="Between neighbouring T, of a step",
        columns=heads("candidate", "T", "local power", ("95 % interval", "95%"), "per timestep"),
        rows=rows,
    )


def _along_batches(summary: ScaledSummary) -> list[Section]:
    if not summary.batches:
        return []
    rows = [
        [
            word(f"{line.label}, T {line.timesteps:,}"),
            cells.number(line.growth.marginal, q.slope),
            cells.interval(line.growth.marginal),
            _fixed(line),
            word(f"{line.growth.sizes[-1]:,}"),
            cells.percent(line.saturation.last_lift),
            _saturated(line),
        ]
        for line in summary.batches
    ]
    table = Table(
        caption="Fits over the batch",
        columns=heads(
            "candidate",
            ("per sequence (derived)", "per\nsequence*"),
            ("95 % interval", "95 %\ninterval", USEFUL),
            ("fixed", "fixed", USEFUL),
            ("largest batch", "largest\nbatch"),
            ("its lift of sequences/s", "its lift of\nsequences/s"),
            ("saturated from", "saturated\nfrom"),
        ),
        rows=rows,
        remarks=[
            f"saturated: from here on no doubling of the batch lifts sequences/s by "
            f"{SATURATED_BELOW:.0%}; in brackets how many resamples of the rounds agree"
        ],
    )
    charted: Block = batch_chart(summary)
    shown = charted if not summary.lengths else Only(where="page", blocks=[charted])
    return [Section(title="Growth with the batch", blocks=[shown, table])]


def _saturated(line: BatchGrowth) -> Cell:
    saturation = line.saturation
    if saturation.withheld:
        return Cell(text=q.NOTHING, reason=saturation.reason)
    agreement = "" if saturation.agreement is None else f" ({saturation.agreement:.0%})"
    if saturation.batch is None:
        return Cell(text=f"not reached{agreement}")
    return Cell(text=f"{saturation.batch:,}{agreement}")


# Crossovers and points ------------------------------------------------------------------------


def _crossovers(meetings: Sequence[Meeting]) -> list[Section]:
    if not meetings:
        return []
    table = Table(
        caption="Where two cost the same",
        columns=heads(
            "candidates",
            "cost",
            "batch",
            "equal at",
            ("95 % interval", "95 %\ninterval"),
            ("cheaper below it", "cheaper\nbelow it"),
        ),
        rows=[_crossing(meeting) for meeting in meetings],
    )
    return [Section(title="Crossovers", blocks=[table], rank=DETAIL)]


def _crossing(meeting: Meeting) -> list[Cell]:
    crossover = meeting.crossover
    beyond = " (extrapolated)" if crossover.extrapolated else ""
    cheaper = {0: meeting.first, 1: meeting.second}
    return [
        word(f"{meeting.first} / {meeting.second}"),
        word("time" if meeting.quantity == "step" else "peak memory"),
        word("each" if meeting.batch_size is None else meeting.batch_size),
        cells.number(crossover.length, lambda length: f"T = {length.value:,.0f}{beyond}"),
        cells.interval(crossover.length, lambda length: f"{length.low:,.0f}–{length.high:,.0f}"),
        none(crossover.length.reason or "not known")
        if crossover.cheaper_below is None
        else word(cheaper[crossover.cheaper_below]),
    ]


def _points(label: str, summary: ScaledSummary, several: bool) -> Section:
    """Return a candidate's points; of several the plot stands for them on a first screen."""
    points = [point for point in summary.points if point.label == label]
    measured = [point for point in points if not point.failed]
    failed = [
        f"T = {point.timesteps:,}, batch {point.batch_size:,}: {point.failed}"
        for point in points
        if point.failed
    ]
    blocks: list[Block] = [_point_table(label, measured)] if measured else []
    blocks += [Prose(lines=failed, tone="warning")] if failed else []
    blocks += _depth_law(points)
    drawn = several and bool(summary.lengths or summary.batches)
    return Section(title=label, blocks=blocks, rank=DETAIL if drawn else 0)


def _point_table(label: str, points: Sequence[Point]) -> Table:
    idle = "idle" if points[0].busy_source != "core_busy_fraction" else "cores idle"
    one_batch = len({point.batch_size for point in points}) == 1
    rows = [
        [
            word(f"{p.timesteps:,}"),
            word(f"{p.batch_size:,}"),
            cells.time(p.step),
            cells.interval(p.step),
            cells.time(p.forward),
            cells.time(p.backward),
            cells.size(p.peak_memory),
            cells.percent(q.complement(p.busy)),
            _depth(p),
            word(p.step.n),
        ]
        for p in points
    ]
    return Table(
        caption=f"Measured points of {label}",
        columns=heads(
            "T",
            ("batch", "batch", DETAIL if one_batch else 0),
            "step",
            ("95 % interval", "95 %\ninterval", USEFUL),
            "forward",
            "backward",
            ("peak memory", "peak\nmemory", USEFUL),
            (idle, idle.replace(" ", "\n"), USEFUL),
            ("depth, operations", "depth\nops", USEFUL),
            ("rounds", "rounds", DETAIL),
        ),
        rows=rows,
    )


def _depth(p: Point) -> Cell:
    if p.depth is None or p.depth.depth_ops is None:
        return none((p.depth and p.depth.reason) or "not in this recording")
    return Cell(text=f"{p.depth.depth_ops:,}", method=p.depth.method)


def _depth_law(points: Sequence[Point]) -> list[Block]:
    """Say how the longest chain of dependent operations grows, once for all lengths."""
    depths = [p.depth for p in points if p.depth is not None and not p.failed]
    law = next((depth for depth in depths if depth.lengths and depth.law is not None), None)
    if law is None:
        return []
    line = f"depth over T (derived): {q.law(law.law, law.coefficients)}"
    return [Only(where="detail", blocks=[Prose(lines=[line], tone="quiet")])]


# What follows, and what it was ------------------------------------------------------------------


def _next(summary: ScaledSummary, labels: Sequence[str]) -> Section:
    if doubts([point.step for point in summary.points], summary.caveats):
        because, command = "see what disturbs measurements on this machine", "seqprof doctor"
    elif len(labels) > 1:
        longest = max(point.timesteps for point in summary.points)
        because = "hold them against each other at the longest T"
        command = f"seqprof compare {' '.join(labels)} --seq-len {longest}"
    else:
        because = "see how many operations wait for each other"
        command = f"seqprof depth {labels[0]}"
    return Section(title=f"Next: {because}", blocks=[Prose(lines=[], command=command)])


def _about(summary: ScaledSummary) -> Section:
    first = summary.points[0]
    facts = [
        ("command", summary.command),
        ("measured at", summary.created),
        ("rounds", f"{_rounds(summary)} of each point, in a new order each"),
        ("idle", _BUSY[first.busy_source]),
        *([("memory", memory)] if (memory := _MEMORY.get(first.peak_memory.method)) else []),
        ("seed", str(summary.seed)),
        *place(summary.environment),
    ]
    title = "What was measured, and where"
    return Section(title=title, blocks=[Facts(pairs=facts)], rank=DETAIL)
