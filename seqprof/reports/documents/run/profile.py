"""The sections of a run that come from its profiled steps: idle by cause, and in each timestep."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.phases import headline_kind
from seqprof.analysis.run.profile import ProfileSummary
from seqprof.analysis.statistics import median
from seqprof.recording import PHASES, ProfiledPass, ProfiledPhase, ProfiledTimesteps
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    USEFUL,
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Only,
    Part,
    Prose,
    Section,
    Table,
    heads,
    none,
    word,
)
from seqprof.reports.documents.idle_causes import CAUSES, PROCESSOR_CAUSES
from seqprof.reports.documents.run.repeats import NAMES
from seqprof.reports.documents.run.timesteps import MOST_VALUES
from seqprof.reports.documents.time_axis import over_time
from seqprof.reports.documents.trace_words import named
from seqprof.reports.plots import Curve, over_timesteps, overlapping, stretched, thinned

_ORDER: dict[str, int] = {phase: index for index, phase in enumerate(PHASES)}
_METHOD = "mean of profiled steps"


def profile_sections(profile: ProfileSummary | None) -> list[Section]:
    """Return the section; none for a recording that is older than profiled passes."""
    if profile is None:
        return []
    made = profile.measured
    title = "Idle by cause" if made.on == "device" else "Operators on the processor"
    if made.whole is None:
        reason = f"Not measured: {made.reason or 'the profiled pass brought nothing'}."
        unmeasured = Prose(lines=[reason], tone="quiet")
        rank = 0 if made.on == "device" else DETAIL
        return [Section(title=title, blocks=[unmeasured], rank=rank)]
    ordered = sorted(made.phases, key=lambda phase: _ORDER.get(phase.phase, len(_ORDER)))
    phases = [*ordered, made.whole]
    blocks: list[Block] = [
        Prose(lines=[_of_which_steps(profile)], tone="quiet"),
        Only(where="detail", blocks=[Prose(lines=_remarks(profile), tone="quiet")]),
        Bars(
            caption="Device windows of the phases and of the step: busy, then idle by its cause."
            if made.on == "device"
            else "Windows of the phases and of the step: operators running, and not.",
            bars=[_bar(phase) for phase in phases],
        ),
        _phase_table(phases, made),
        Only(
            where="detail",
            blocks=[
                *over_time(made.axis),
                *_timesteps(made),
                _activities(made),
            ],
        ),
    ]
    return [Section(title=title, blocks=blocks, rank=0 if made.on == "device" else DETAIL)]


def _of_which_steps(profile: ProfileSummary) -> str:
    slowed = profile.slowdown
    factor = q.NOTHING if slowed.value is None else f"{slowed.value:.2f}"
    stopped_s = profile.measured.stopped_s
    then = f"; then the script stood still for {q.seconds(stopped_s)}" if stopped_s else ""
    return (
        f"Of {profile.measured.steps} steps under torch.profiler, {factor} times as long as "
        f"{headline_kind(slowed)} ones{then}."
    )


def _remarks(profile: ProfileSummary) -> list[str]:
    made = profile.measured
    kind = headline_kind(profile.slowdown)
    lines = [f"Means; idle contains what the profiler took, and {kind} steps stay the headline."]
    if made.on == "processor":
        lines.append(
            "This is not device time: busy is where an operator runs, idle is Python and autograd "
            "between operators."
        )
    if made.launchless:
        lines.append(f"{made.launchless:,} activities have no recorded launch: busy, but nobody's.")
    return [*lines, *made.quality]


def _bar(phase: ProfiledPhase) -> Bar:
    parts = [Part(name="busy", value=phase.busy_s, text=q.seconds(phase.busy_s), colour="busy")]
    parts += [
        Part(name=cause, value=length, text=q.seconds(length), colour=f"cause-{cause}")
        for cause, length in phase.idle_by_cause_s.items()
        if length > 0.0
    ]
    return Bar(name=phase.phase, text=q.seconds(phase.window_s), parts=parts)


def _phase_table(phases: Sequence[ProfiledPhase], made: ProfiledPass) -> Table:
    known = CAUSES if made.on == "device" else PROCESSOR_CAUSES
    causes = [cause for cause in known if any(phase.idle_by_cause_s.get(cause) for phase in phases)]
    rows = [
        [
            word(phase.phase),
            _time(phase.window_s),
            _time(phase.busy_s),
            _time(phase.idle_s),
            _share(phase.idle_s, phase.window_s),
            *(_time(phase.idle_by_cause_s.get(cause, 0.0)) for cause in causes),
            Cell(text=f"{phase.activities:,.0f}", method=_METHOD),
        ]
        for phase in phases
    ]
    things = "kernels and copies" if made.on == "device" else "operators"
    return Table(
        caption="Busy and idle",
        columns=heads(
            "phase",
            "window",
            "busy",
            "idle",
            ("idle share", "idle"),
            *((cause, cause, USEFUL) for cause in causes),
            (things, things.split()[0], DETAIL),
        ),
        rows=rows,
        remarks=[
            "window: to the end of the last work that the phase launched; windows tile the step",
            *(f"{cause}: {known[cause]}" for cause in causes),
        ],
    )


def _time(value: float) -> Cell:
    return Cell(text=q.seconds(value), method=_METHOD)


def _share(part: float, whole: float) -> Cell:
    return Cell(text=q.share(part / whole), method=_METHOD) if whole else none("an empty window")


def _timesteps(made: ProfiledPass) -> list[Block]:
    if not made.timesteps:
        reason = made.timesteps_reason
        return [Prose(lines=[f"No timesteps: {reason}."], tone="quiet")] if reason else []
    names = dict.fromkeys(loop.loop for loop in made.timesteps)
    values = 2 * sum(len(loop.busy_s) for loop in made.timesteps)
    span = thinned(values, MOST_VALUES // 2)
    return [_chart(name, made, span) for name in names]


def _chart(name: str, made: ProfiledPass, span: int) -> Chart:
    loops = [loop for loop in made.timesteps if loop.loop == name]
    timesteps = max(len(loop.busy_s) for loop in loops)
    curves = [
        Curve(
            name=f"{NAMES[loop.phase]}, {what}",
            colour=loop.phase,
            dash=what == "idle",
            y=stretched(values, span, median),
        )
        for loop in loops
        for what, values in (("idle", loop.idle_s), ("busy", loop.busy_s))
    ]
    error = made.clock_error_s
    tied = "" if error is None else f" (clocks tied to ± {q.seconds(error, 2)})"
    remarks = [f"An activity belongs to the timestep whose marks enclose its launch{tied}."]
    if span > 1:
        remarks.append(f"Each point is the median of {span} neighbouring timesteps.")
    remarks += overlapping(curves)
    return Chart(
        title=f"Busy and idle in each timestep of {name}",
        label=f"Busy and idle time of each of {timesteps} timesteps of {name}",
        plot=over_timesteps(timesteps, span, curves, yname="time in the timestep"),
        table=_loop_table(name, loops),
        remarks=remarks,
    )


def _loop_table(name: str, loops: Sequence[ProfiledTimesteps]) -> Table:
    rows = [
        [
            word(NAMES[loop.phase]),
            _typical(loop.busy_s),
            _typical(loop.idle_s),
            _count(loop.activities),
        ]
        for loop in loops
    ]
    columns = heads("phase", "busy", "idle", "kernels or operators")
    return Table(caption=f"A typical timestep of {name}", columns=columns, rows=rows)


def _typical(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return cells.seconds(
        median(known) if known else None, "median over timesteps", "no timestep was marked"
    )


def _count(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return none("no timestep was marked")
    return Cell(text=f"{median(known):,.0f}", method="median over timesteps")


def _activities(made: ProfiledPass) -> Table:
    what = "kernel" if made.on == "device" else "operator"
    rows = [
        [
            named(total.name),
            Cell(text=f"{total.calls:,.0f}", method=_METHOD),
            Cell(text=q.seconds(total.total_s), method=_METHOD),
            Cell(text=q.share(total.share), method="share of all durations"),
        ]
        for total in made.activities
    ]
    return Table(
        caption=f"The longest {what}s", columns=heads(what, "calls", "total", "share"), rows=rows
    )
