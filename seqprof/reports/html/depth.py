"""The page of `seqprof depth`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprof.analysis.depth import Cost
from seqprof.analysis.laws import Law
from seqprof.analysis.model_depth import (
    DepthSummary,
    Derived,
    ModelDepth,
    Point,
    as_sentence,
)
from seqprof.reports import quantities as q
from seqprof.reports.depth_words import facts, peak
from seqprof.reports.formats import Result
from seqprof.reports.html.blocks import (
    Article,
    Block,
    Cell,
    Chart,
    Facts,
    Folded,
    Prose,
    Section,
    Table,
    Warned,
    none,
    word,
)
from seqprof.reports.html.header import beware
from seqprof.reports.html.plots import COLOURS, Curve, Lines

#: Powers of two, at which every law can be asked, between the smallest and the largest T drawn.
_BEYOND = 4
_COUNTED = "counted on shapes alone"
_EXACT = "exact law through the counts"


def article(result: Result) -> Article:
    """Return the page of one or more models' sequential depth."""
    summary: DepthSummary = result.summary
    names = [model.recorded.model for model in summary.models]
    sections = [
        beware(_caveats(summary)),
        Section(
            title="Sequential depth of one training step",
            blocks=[
                _overview(summary),
                _chart("Depth", summary.models, lambda c: c.depth_ops, lambda m: m.depth_law),
                _chart("Work", summary.models, lambda c: c.work_ops, lambda m: m.work_law),
            ],
        ),
        *(_model(model) for model in summary.models),
    ]
    return Article(
        title=f"Sequential depth of {', '.join(names)}", subtitle=result.name, sections=sections
    )


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
    if assumptions.latency_source.startswith("assumed"):
        notes.append(
            Warned(
                severity="note",
                text="The floor in time rests on an assumed latency",
                evidence=f"{assumptions.kernel_latency_s * 1e6:g} µs from one operation to the "
                f"next that awaits it ({assumptions.latency_source})",
                remedy="give --kernel-latency, or run it where the device is",
            )
        )
    return notes


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
    columns = [
        "model", "T", "work", "depth", "law of depth", "parallel within t", "parallel across t",
        "floor (derived)", "arithmetic from batch (derived)",
    ]  # fmt: skip
    return Table(
        caption="All models",
        columns=columns,
        rows=rows,
        remarks=[
            "work: tensor operations of forward, loss and backward; depth: those on the longest "
            "chain in which each consumes the previous one's output; views count as none",
            f"peak: {peak(summary.assumptions)}",
        ],
    )


def _count(value: int) -> Cell:
    return Cell(text=f"{value:,}", method=_COUNTED)


def _law(law: Law) -> Cell:
    if law.text is None:
        return none(law.reason or "no exact law")
    return Cell(text=law.text, method=_EXACT)


def _derived(found: Derived, show: Callable[[float], str]) -> Cell:
    if found.value is None:
        return none(found.reason or "not derived")
    return Cell(text=show(found.value), method=found.method)


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
        table=Table(caption=f"{what} as counted", columns=["model", "T", what.lower()], rows=rows),
        remarks=[
            "Points: counted. Lines: the exact law through them, continued to "
            f"{_BEYOND} times the longest T that was counted.",
            *_some_lengths(models, law),
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
    found = [(model.recorded.model, law(model)) for model in models]
    return [f"{name}: {law.holds}." for name, law in found if law.text and not law.any_length]


def _model(model: ModelDepth) -> Section:
    recorded = model.recorded
    rows = [
        _phase("forward", model.at.forward, model.forward_depth_law),
        _phase("backward", model.at.backward, model.backward_depth_law),
        _phase("step", model.at.step, model.depth_law),
    ]
    single: Point | None = recorded.single
    rows += [_phase("T = 1", single.step, None)] if single is not None else []
    rows += [_phase("optimizer", recorded.optimizer, None)] if recorded.optimizer else []
    columns = [
        "phase", "work", "depth", "law of depth", "work / depth", "FLOPs", "FLOPs on one chain",
        "bytes",
    ]  # fmt: skip
    chain = [as_sentence(run) for run in recorded.path]
    blocks: list[Block] = [
        Table(caption=f"At T = {model.at.timesteps:,}", columns=columns, rows=rows),
        Facts(pairs=list(facts(model))),
        Folded(summary="The longest chain", blocks=[Prose(lines=chain)]),
    ]
    title = f"{recorded.model}: {recorded.form}, batch {recorded.batch_size}"
    return Section(title=title, blocks=blocks)


def _phase(name: str, cost: Cost, law: Law | None) -> list[Cell]:
    return [
        word(name),
        _count(cost.work_ops),
        _count(cost.depth_ops),
        word("") if law is None else _law(law),
        none("no operation")
        if cost.parallelism is None
        else Cell(text=_ratio(cost.parallelism), method="work / depth"),
        Cell(text=q.prefixed(cost.work_flops), method="of products, convolutions, attention"),
        Cell(text=q.prefixed(cost.span_flops), method="most FLOPs on one chain"),
        Cell(text=q.prefixed(cost.work_bytes), method="read and written by all operations"),
    ]
