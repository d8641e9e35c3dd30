"""Results as Markdown for a pull request: what it comes to, short tables, caveats.

Names from outside (models, modules, files, kernels) stand in code spans; sentences are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from seqprof.reports import quantities as q
from seqprof.reports.escaping import markdown, markdown_code
from seqprof.reports.formats import EVERY_KIND, Format, Kind, Result
from seqprof.reports.markdown_pieces import sentences, table

if TYPE_CHECKING:
    from seqprof.analysis.caveats import Caveat
    from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary
    from seqprof.analysis.model_depth import DepthSummary, ModelDepth
    from seqprof.analysis.scaled import Point, ScaledSummary
    from seqprof.analysis.statistics import Estimate
    from seqprof.analysis.summary import Summary
    from seqprof.analysis.timeline.summary import TraceSummary
    from seqprof.analysis.timesteps import LoopLatency
    from seqprof.recording import Environment

#: Loops that are shown; the JSON has all.
MOST_LOOPS = 8
#: Kernels of a trace that are shown.
MOST_KERNELS = 5
_NAME_WIDTH = 60
_PHASE_NAMES = {"forward": "forward", "backward": "BPTT"}


def render(results: Sequence[Result]) -> bytes:
    """Return UTF-8 Markdown, a section for each result."""
    return "\n".join(line for result in results for line in _section(result)).encode()


def _section(result: Result) -> Iterator[str]:
    yield from _SECTIONS[result.kind](result)
    yield f"<sub>seqprof {result.kind}: {markdown_code(result.name)}</sub>"
    yield ""


# Pieces ----------------------------------------------------------------------------------------


def _missing(named: Sequence[tuple[str, Estimate]]) -> Iterator[str]:
    """Say why there is no number where there is none."""
    reasons = q.reasons(named)
    yield from (f"{q.NOTHING} {markdown(reason)}\n" for reason in reasons)


def _caveats(caveats: Sequence[Caveat]) -> Iterator[str]:
    if not caveats:
        return
    yield "**Beware**"
    yield ""
    for caveat in caveats:
        yield (
            f"- **{caveat.severity}**: {markdown(caveat.text)} ({markdown(caveat.evidence)}). "
            f"→ {markdown(caveat.remedy)}"
        )
    yield ""


def _where(environment: Environment, *parts: str) -> str:
    words = [
        *parts,
        environment.device.name,
        f"{_counted(environment.threads, 'thread')} on {_counted(environment.cores, 'core')}",
        f"torch {environment.torch}",
        f"seqprof {environment.seqprof}",
    ]
    return " · ".join(markdown(word) for word in words)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _with_interval(estimate: Estimate) -> str:
    interval = f" (95%: {q.time_interval(estimate)})" if estimate.low is not None else ""
    return q.time(estimate) + interval


# run -------------------------------------------------------------------------------------------


def _run(result: Result) -> Iterator[str]:
    summary: Summary = result.summary
    header, workload = summary.header, summary.header.workload
    name = f"{workload.model} ({workload.execution})" if workload.execution else workload.model
    size = f"T = {workload.timesteps}, batch {workload.batch_size}"
    yield f"### {markdown_code(name)}, {size}: {_with_interval(summary.step)} a step"
    yield ""
    yield _where(header.environment, workload.optimizer, workload.precision)
    yield ""
    yield from sentences(summary.verdict.sentences)
    yield from _phases(summary)
    yield from _timesteps(summary)
    yield from _caveats(summary.caveats)


def _phases(summary: Summary) -> Iterator[str]:
    idle = {entry.phase: entry for entry in summary.idle}
    device = idle["step"].idle_source == "nvml_utilization"

    def row(name: str, time: Estimate, share: str, memory: str) -> list[str]:
        entry = idle[name]  # type: ignore[index]
        busy = entry.nvml_utilization if device else entry.core_busy_fraction
        idle_time = q.time(entry.idle_time)
        return [
            name,
            q.time(time),
            q.time_interval(time),
            share,
            q.percent(busy),
            idle_time,
            memory,
        ]

    busy = "busy (NVML)" if device else "busy (cores)"
    rows = [row(p.phase, p.time, q.percent(p.share), q.size(p.peak_memory)) for p in summary.phases]
    rows.append(row("step", summary.step, "", ""))
    columns = ("phase", "time", "95% interval", "share", busy, "idle", "peak memory")
    yield from table(columns, rows)
    yield from _missing(
        [
            ("step", summary.step),
            *(("peak memory", p.peak_memory) for p in summary.phases),
            *(("idle", entry.idle_time) for entry in summary.idle),
        ]
    )


def _timesteps(summary: Summary) -> Iterator[str]:
    if summary.loops:
        columns = ("each timestep", "", "clock", "T", "p50", "p95", "slowest")
        shown = summary.loops[: 2 * MOST_LOOPS]
        yield from table(columns, (_loop(loop) for loop in shown))
        if len(shown) < len(summary.loops):
            yield f"{len(summary.loops) - len(shown)} more are in the JSON."
            yield ""
    elif summary.marginal:
        rows = [
            [cost.phase, q.time(cost.marginal), q.time_interval(cost.marginal), q.time(cost.fixed)]
            for cost in summary.marginal
        ]
        yield from table(("one more timestep (derived)", "time", "95% interval", "fixed"), rows)
        yield from _missing([(f"marginal {c.phase}", c.marginal) for c in summary.marginal])
    if summary.timesteps_reason and not summary.loops:
        yield f"Timesteps were not timed: {markdown(summary.timesteps_reason)}."
        yield ""


def _loop(loop: LoopLatency) -> list[str]:
    slowest = f"t = {loop.slowest[0].timestep}" if loop.slowest else q.NOTHING
    return [
        markdown_code(loop.loop),
        _PHASE_NAMES[loop.phase],
        loop.clock,
        str(loop.timesteps),
        q.time(loop.p50),
        q.time(loop.p95),
        slowest,
    ]


# compare ---------------------------------------------------------------------------------------


def _compare(result: Result) -> Iterator[str]:
    summary: ComparedSummary = result.summary
    labels = dict.fromkeys(c.label for length in summary.lengths for c in length.candidates)
    others = ", ".join(markdown_code(label) for label in labels if label != summary.baseline)
    yield f"### {others or 'nothing'} against {markdown_code(summary.baseline)}"
    yield ""
    yield _where(summary.environment, *summary.held_equal)
    yield ""
    yield from sentences(summary.sentences)
    for length in summary.lengths:
        yield f"T = {length.timesteps}, batch {length.batch_size}"
        yield ""
        yield from _compared(length, summary.baseline)
    yield from _caveats(summary.caveats)


def _compared(length: LengthSummary, baseline: str) -> Iterator[str]:
    ratio = f"step / {markdown_code(baseline)}"
    columns = (
        *("candidate", "step", "95% interval", "forward", "backward"),
        *(ratio, "95% interval", "verdict", "peak memory"),
    )
    yield from table(columns, (_candidate(made) for made in length.candidates))
    measured = [made for made in length.candidates if not made.failed]
    yield from _missing(
        [(name, e) for c in measured for name, e in (("step", c.step), ("memory", c.peak_memory))]
    )
    failed = [made for made in length.candidates if made.failed]
    yield from (f"{markdown_code(m.label)}: {markdown(m.failed or '')}\n" for m in failed)


def _candidate(made: CandidateSummary) -> list[str]:
    found = made.against_baseline
    ratio = q.NOTHING if found is None or found.ratio.value is None else f"{found.ratio.value:.3f}"
    interval = q.NOTHING
    if found is not None and found.ratio.low is not None and found.ratio.high is not None:
        interval = f"{found.ratio.low:.3f}–{found.ratio.high:.3f}"
    return [
        markdown_code(made.label),
        q.time(made.step),
        q.time_interval(made.step),
        q.time(made.forward),
        q.time(made.backward),
        ratio,
        interval,
        f"**{made.standing}**" if found else made.standing,
        q.size(made.peak_memory),
    ]


# scale -----------------------------------------------------------------------------------------


def _scale(result: Result) -> Iterator[str]:
    summary: ScaledSummary = result.summary
    labels = dict.fromkeys(point.label for point in summary.points)
    yield "### How " + ", ".join(map(markdown_code, labels)) + " scale"
    yield ""
    yield _where(summary.environment)
    yield ""
    yield from sentences(summary.sentences)
    columns = ("candidate", "T", "batch", "step", "95% interval", "forward", "backward", "memory")
    yield from table(columns, (_point(point) for point in summary.points))
    measured = [point for point in summary.points if not point.failed]
    yield from _missing(
        [(name, e) for p in measured for name, e in (("step", p.step), ("memory", p.peak_memory))]
    )
    failed = [point for point in summary.points if point.failed]
    for point in failed:
        where = f"{markdown_code(point.label)}, T = {point.timesteps}, batch {point.batch_size}"
        yield f"{where}: {markdown(point.failed or '')}\n"
    yield from _caveats(summary.caveats)


def _point(point: Point) -> list[str]:
    return [
        markdown_code(point.label),
        str(point.timesteps),
        str(point.batch_size),
        q.time(point.step),
        q.time_interval(point.step),
        q.time(point.forward),
        q.time(point.backward),
        q.size(point.peak_memory),
    ]


# depth -----------------------------------------------------------------------------------------


def _depth(result: Result) -> Iterator[str]:
    summary: DepthSummary = result.summary
    yield "### Sequential depth of one training step (derived from shapes)"
    yield ""
    columns = ("model", "form", "T", "work", "depth", "law of depth", "latency floor")
    yield from table(columns, (_model(depth) for depth in summary.models))
    latency = summary.assumptions
    yield (
        f"Latency floor: depth × {latency.kernel_latency_s * 1e6:g} µs from one operation to the "
        f"next that awaits it ({markdown(latency.latency_source)})."
    )
    yield ""


def _model(depth: ModelDepth) -> list[str]:
    law = depth.depth_law
    return [
        markdown_code(depth.recorded.model),
        markdown(depth.recorded.form),
        str(depth.at.timesteps),
        f"{depth.at.step.work_ops:,}",
        f"{depth.at.step.depth_ops:,}",
        markdown(law.text or law.reason or q.NOTHING),
        q.seconds(depth.latency_floor_s.value, 2),
    ]


# trace -----------------------------------------------------------------------------------------


def _trace(result: Result) -> Iterator[str]:
    from seqprof.reports.trace_console import short_name  # with Rich, only where there is a trace

    summary: TraceSummary = result.summary
    yield f"### Trace {markdown_code(summary.source)}"
    yield ""
    processor = () if summary.processor is None else (summary.processor,)
    for device in (*summary.devices, *processor):
        name = f"{device.title} {markdown(device.name or '')}".rstrip()
        share = "" if device.idle_fraction is None else f", {device.idle_fraction:.1%} of the span"
        bound = markdown(device.host.bound_by)
        yield f"{name}: idle {_ns(device.idle_ns)}{share}; bound by: {bound}"
        yield ""
        rows = (
            [a.phase, _ns(a.window_ns), _ns(a.busy_ns), _ns(a.idle_ns), _causes(a.idle_by_cause_ns)]
            for a in device.phases
        )
        yield from table(("phase", "window", "busy", "idle", "idle because of"), rows)
        kernels = (
            [
                markdown_code(short_name(k.name, _NAME_WIDTH)),
                f"{k.count:,}",
                _ns(k.total_ns),
                f"{k.share:.0%}",
            ]
            for k in device.kernels[:MOST_KERNELS]
        )
        what = "operator" if device.device is None else "kernel"
        yield from table((what, "calls", "time", "share"), kernels)
    for caveat in summary.caveats:
        yield f"- {markdown(caveat.message)}: {markdown(caveat.effect)}"
    if summary.caveats:
        yield ""


def _ns(nanoseconds: int) -> str:
    return q.seconds(nanoseconds * 1e-9)


def _causes(causes: Mapping[str, int]) -> str:
    ordered = sorted(causes.items(), key=lambda item: -item[1])
    return ", ".join(f"{cause} {_ns(length)}" for cause, length in ordered if length)


_SECTIONS: dict[Kind, Callable[[Result], Iterator[str]]] = {
    "run": _run,
    "compare": _compare,
    "scale": _scale,
    "depth": _depth,
    "trace": _trace,
}

MARKDOWN = Format(
    name="markdown",
    title="short tables, caveats and the outcome in words, for a pull request",
    suffixes=(".md",),
    kinds=EVERY_KIND,
    several=True,
    render=render,
)
