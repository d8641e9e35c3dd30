"""The page of `seqprof depth`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprof.analysis.depth.graph import Cost
from seqprof.analysis.depth.laws import Law
from seqprof.analysis.depth.model_depth import (
    DepthPoint,
    DepthSummary,
    Derived,
    ModelDepth,
    as_sentence,
)
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    USEFUL,
    Block,
    Cell,
    Chart,
    Document,
    Facts,
    Folded,
    Only,
    Prose,
    Section,
    Table,
    View,
    Warned,
    heads,
    none,
    word,
)
from seqprof.reports.documents.depth_words import depth_in_words, facts, peak
from seqprof.reports.documents.findings import about_measurement
from seqprof.reports.formats import Result
from seqprof.reports.plots import COLOURS, Curve, Lines, overlapping

#: Powers of two, at which every law can be asked, between the smallest and the largest T drawn.
_BEYOND = 4
_COUNTED = "counted, not timed"
_EXACT = "exact law through the counts"


def document(result: Result, view: View) -> Document:
    """Return the document of one or more models' sequential depth."""
    summary: DepthSummary = result.summary
    models = summary.models
    names = [model.recorded.model for model in models]
    said = depth_in_words(summary)
    lengths = {model.at.timesteps for model in models}
    at = f" at T = {lengths.pop():,}" if len(lengths) == 1 else ""
    real = any(model.recorded.real for model in models)
    how = "from shapes alone or in real steps" if real else "from shapes alone"
    charts: list[Block] = [
        _chart("Depth", models, lambda c: c.depth_ops, lambda m: m.depth_law),
        Only(
            where="page",
            blocks=[_chart("Work", models, lambda c: c.work_ops, lambda m: m.work_law)],
        ),
    ]
    return Document(
        title=f"Sequential depth of {', '.join(names)}",
        subtitle=f"One training step{at}, {how}: nothing was timed",
        line=" ".join(said),
        sections=[
            Section(title="", name="The answer", blocks=[Prose(lines=said, tone="answer")]),
            Section(
                title="Sequential depth of one training step",
                blocks=[
                    _overview(summary),
                    Only(where="screen", blocks=[Prose(lines=[_floor(summary)], tone="quiet")]),
                    *charts,
                ],
            ),
            *(_model(model, view) for model in models),
            _next(summary),
            about_measurement(_caveats(summary)),
        ],
    )


def _next(summary: DepthSummary) -> Section:
    names = [model.recorded.model for model in summary.models]
    if len(names) > 1:
        command = f"seqprof compare {' '.join(names)}"
        because = "see what this costs in time here"
    elif names[0].endswith((".yaml", ".yml")):  # its data may be the user's, of one length only
        command, because = f"seqprof run {names[0]}", "see what this costs in time here"
    else:
        command, because = f"seqprof scale {names[0]}", "see how the time grows with T here"
    return Section(title=f"Next: {because}", blocks=[Prose(lines=[], command=command)])


def _caveats(summary: DepthSummary) -> list[Warned]:
    assumptions = summary.assumptions
    notes = [
        Warned(
            severity="note",
            text="Nothing here was timed: it follows from the shapes of the operations",
            evidence="An operation is one of torch's. A device that runs several in one kernel "
            "(fused cells, cuDNN, torch.compile) can go below the floor.",
            remedy="`seqprof run` measures",
        )
    ]
    for model in summary.models:
        own = model.recorded.on_device
        if own is not None and own.work_ops < model.at.step.work_ops:
            notes.append(_merged(model, own))
    if assumptions.latency_source.startswith("assumed"):
        notes.append(
            Warned(
                severity="note",
                text="The floor in time rests on an assumed latency",
                evidence=f"{assumptions.kernel_latency_s * 1e6:g} µs per dependent operation "
                f"({assumptions.latency_source})",
                remedy="give --kernel-latency, or run it where the device is",
            )
        )
    return notes


def _merged(model: ModelDepth, own: Cost) -> Warned:
    step = model.at.step
    return Warned(
        severity="note",
        text=f"{model.recorded.model}: the accelerator here merges some of these operations",
        evidence=f"{own.depth_ops:,} of its own operations on the longest chain, {own.work_ops:,} "
        f"in all, in place of {step.depth_ops:,} and {step.work_ops:,}; the floor is of its own",
        remedy="`seqprof run` counts and times what it is given",
    )


def _floor(summary: DepthSummary) -> str:
    latency = summary.assumptions
    own = any(model.recorded.on_device is not None for model in summary.models)
    depth = "depth in the accelerator's own operations" if own else "depth"
    return (
        f"floor (derived): {depth} × {latency.kernel_latency_s * 1e6:g} µs per dependent operation "
        f"({latency.latency_source})"
    )


def _overview(summary: DepthSummary) -> Table:
    rows = [
        [
            word(model.recorded.model),
            word(f"{model.at.timesteps:,}"),
            _count(model.at.step.work_ops),
            _count(model.at.step.depth_ops),
            _law(model.depth_law),
            _derived(model.within_timestep, _ratio),
            _derived(model.across_timesteps, _ratio),
            _derived(model.latency_floor_s, lambda value: q.seconds(value, 2)),
            _derived(model.arithmetic_batch, lambda value: f"{value:,.3g}"),
        ]
        for model in summary.models
    ]
    columns = heads(
        "model",
        "T",
        "work",
        "depth",
        ("law of depth", "law"),
        ("parallel within t", "within\nt", USEFUL),
        ("parallel across t", "across\nt", USEFUL),
        ("floor (derived)", "floor"),
        ("arithmetic from batch (derived)", "arithm.\nfrom B", DETAIL),
    )
    return Table(
        caption="All models",
        columns=columns,
        rows=rows,
        remarks=[
            "work: tensor operations of forward, loss and backward; depth: those on the longest "
            "chain in which each consumes the previous one's output; views count as none",
            "parallel within t: work / depth of one timestep alone; across t: timesteps under way "
            "at once",
            _floor(summary),
            "arithmetic from batch (derived): batch at which all FLOPs at peak take as long as the "
            f"floor; peak: {peak(summary.assumptions)}",
            "An operation is one of torch's. A device that runs several in one kernel (fused "
            "cells, cuDNN, torch.compile) can go below the floor; the number of timesteps that "
            "wait for each other stays.",
        ],
    )


def _count(value: int) -> Cell:
    return Cell(text=f"{value:,}", method=_COUNTED)


def _law(law: Law) -> Cell:
    if law.text is None:
        return none(law.reason or "no exact law")
    return Cell(text=law.text, method=_EXACT)


def _derived(derived: Derived, show: Callable[[float], str]) -> Cell:
    if derived.value is None:
        return none(derived.reason or "not derived")
    return Cell(text=show(derived.value), method=derived.method)


def _ratio(value: float) -> str:
    return f"{value:,.1f}"


def _chart(
    what: str,
    models: Sequence[ModelDepth],
    read: Callable[[Cost], int],
    law: Callable[[ModelDepth], Law],
) -> Chart:
    """Draw the counts, and the laws through them, on logarithmic axes."""
    recorded = sorted({point.timesteps for model in models for point in model.recorded.points})
    top = _BEYOND * recorded[-1]
    powers = [1 << k for k in range(64) if recorded[0] <= 1 << k <= top]
    xs = sorted({*recorded, *powers})
    curves = [
        curve
        for index, model in enumerate(models)
        for curve in _curves(model, COLOURS[index % len(COLOURS)], xs, read, law(model))
    ]
    rows = [
        [word(model.recorded.model), word(f"{point.timesteps:,}"), _count(read(point.step))]
        for model in models
        for point in model.recorded.points
    ]
    return Chart(
        title=f"{what} over T",
        label=f"{what} in operations over T, both axes logarithmic: "
        + "; ".join(f"{m.recorded.model} {law(m).text or 'no exact law'}" for m in models),
        plot=Lines(
            x=xs,
            xname="T, timesteps",
            yname=f"{what.lower()}, operations",
            unit="operations",
            curves=curves,
            log=True,
            xlog=True,
            xticks=powers,
        ),
        table=Table(
            caption=f"{what} as counted", columns=heads("model", "T", what.lower()), rows=rows
        ),
        remarks=[
            "Points: counted. Lines: the exact law through them, continued to "
            f"{_BEYOND} times the longest T that was counted.",
            *_some_lengths(models, law),
            *overlapping([curve for curve in curves if curve.points]),
        ],
    )


def _curves(
    model: ModelDepth, colour: str, xs: Sequence[int], read: Callable[[Cost], int], law: Law
) -> list[Curve]:
    """Return the counts of one model as points, and the law through them where there is one."""
    name = model.recorded.model
    counts = {point.timesteps: read(point.step) for point in model.recorded.points}
    counted = Curve(name=name, colour=colour, points=True, y=[counts.get(x) for x in xs])
    if law.text is None:
        return [counted]
    exact = [law.at(x) for x in xs]
    return [counted, Curve(name=f"{name}: {law.text}", colour=colour, smooth=True, y=exact)]


def _some_lengths(models: Sequence[ModelDepth], law: Callable[[ModelDepth], Law]) -> list[str]:
    """Name the models whose law holds at powers of two, or of whole chunks, alone."""
    laws = [(model.recorded.model, law(model)) for model in models]
    return [f"{name}: {law.holds}." for name, law in laws if law.text and not law.any_length]


def _model(model: ModelDepth, view: View) -> Section:
    recorded = model.recorded
    rows = [
        _phase("forward", model.at.forward, model.forward_depth_law),
        _phase("backward", model.at.backward, model.backward_depth_law),
        _phase("step", model.at.step, model.depth_law),
    ]
    single: DepthPoint | None = recorded.single
    rows += [_phase("T = 1", single.step, None)] if single is not None else []
    rows += [_phase("optimizer", recorded.optimizer, None)] if recorded.optimizer else []
    columns = heads(
        "phase",
        "work",
        "depth",
        ("law of depth", "law of\ndepth"),
        ("work / depth", "work /\ndepth"),
        "FLOPs",
        ("FLOPs on one chain", "FLOPs on\none chain"),
        "bytes",
    )
    table = Table(caption=f"At T = {model.at.timesteps:,}", columns=columns, rows=rows)
    lengths = [_lengths(model)] if len(recorded.asked) > 1 else []
    return Section(
        title=f"{recorded.model}: {recorded.form}, batch {recorded.batch_size}",
        blocks=[table, *lengths, Facts(pairs=list(facts(model))), *_chain(model, view)],
        rank=0 if view.path else DETAIL,
    )


def _chain(model: ModelDepth, view: View) -> list[Block]:
    """Return the longest chain, run-length coded: open where it was asked for."""
    summary = f"Longest chain at T = {model.at.timesteps:,}"
    chain = [as_sentence(run) for run in model.recorded.path]
    if view.path:
        return [Prose(lines=[f"{summary}:"], tone="quiet"), Prose(lines=chain)]
    return [Only(where="page", blocks=[Folded(summary=summary, blocks=[Prose(lines=chain)])])]


def _lengths(model: ModelDepth) -> Table:
    """Return the costs at each T that was asked for."""
    rows = [
        [
            word(f"{point.timesteps:,}"),
            *(cell for cost in (point.step, point.forward, point.backward) for cell in _cost(cost)),
        ]
        for point in model.recorded.points
        if point.timesteps in model.recorded.asked
    ]
    names = [
        (f"{phase} {what}", f"{phase}\n{what}")
        for phase in ("step", "forward", "backward")
        for what in ("work", "depth", "work/depth")
    ]
    return Table(caption="At each T", columns=heads("T", *names), rows=rows)


def _cost(cost: Cost) -> list[Cell]:
    return [_count(cost.work_ops), _count(cost.depth_ops), _parallelism(cost)]


def _parallelism(cost: Cost) -> Cell:
    if cost.parallelism is None:
        return none("no operation")
    return Cell(text=_ratio(cost.parallelism), method="work / depth")


def _phase(name: str, cost: Cost, law: Law | None) -> list[Cell]:
    return [
        word(name),
        _count(cost.work_ops),
        _count(cost.depth_ops),
        word("") if law is None else _law(law),
        _parallelism(cost),
        Cell(text=q.prefixed(cost.work_flops), method="of products, convolutions, attention"),
        Cell(text=q.prefixed(cost.span_flops), method="most FLOPs on one chain"),
        Cell(text=q.prefixed(cost.work_bytes), method="read and written by all operations"),
    ]
