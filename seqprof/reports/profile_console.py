"""The part of the report that shows the steps under torch.profiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from seqprof.analysis.profile import ProfileSummary
from seqprof.analysis.statistics import median
from seqprof.analysis.timesteps import profile
from seqprof.recording import PHASES, ProfiledPass, ProfiledPhase
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, pairs, paragraph, table

#: Kernels or operators that are shown; the JSON has more.
MOST_ACTIVITIES = 5
_ORDER: dict[str, int] = {phase: index for index, phase in enumerate(PHASES)}


def render_profile(found: ProfileSummary, console: Console, names: Mapping[str, str]) -> None:
    """Print the pass, or on an accelerator why there is none.

    Args:
        names: how a phase is called where timesteps are its subject.
    """
    made = found.measured
    if made.whole is None:
        if made.on == "device":
            heading(console, "Kernel timeline")
            paragraph(console, f"Not measured: {made.reason}")
        return
    things = "kernels" if made.on == "device" else "operators"
    title = "Kernel timeline" if made.on == "device" else "Operators on the processor"
    heading(console, f"{title} ({made.steps} steps under torch.profiler, means)")
    caused = made.on == "device"  # on the processor it is all between operators
    ordered = sorted(made.phases, key=lambda phase: _ORDER.get(phase.phase, len(_ORDER)))
    rows = [_row(phase, caused) for phase in (*ordered, made.whole)]
    columns = ["phase", "window", "busy", "idle", "idle", things]
    table(console, columns + (["idle because of"] if caused else []), rows)
    if made.timesteps:
        console.print()
        _timesteps(made, things, names, console)
    console.print()
    pairs(
        console,
        [
            (q.seconds(total.total_s, 2), f"{total.share:.0%} · {total.calls:,.0f} × {total.name}")
            for total in made.activities[:MOST_ACTIVITIES]
        ],
    )
    for note in _note_lines(found):
        paragraph(console, note, style="dim")


def _row(phase: ProfiledPhase, caused: bool) -> list[str]:
    share = phase.idle_s / phase.window_s if phase.window_s else None
    causes = sorted(phase.idle_by_cause_s.items(), key=lambda item: -item[1])
    named = [f"{cause} {q.seconds(length, 2)}" for cause, length in causes if length > 0.0]
    return [
        phase.phase,
        q.seconds(phase.window_s, 3),
        q.seconds(phase.busy_s, 3),
        q.seconds(phase.idle_s, 3),
        q.NOTHING if share is None else f"{share:.0%}",
        f"{phase.activities:,.0f}",
        *([", ".join(named[:2])] if caused else []),
    ]


def _timesteps(made: ProfiledPass, things: str, names: Mapping[str, str], console: Console) -> None:
    """One line a loop and phase: the typical timestep, and idle over the sequence."""
    order = sorted(made.timesteps, key=lambda loop: (loop.loop, loop.phase != "forward"))
    rows = [
        [
            loop.loop,
            names[loop.phase],
            _typical(loop.activities, lambda value: f"{value:,.0f}"),
            _typical(loop.busy_s, lambda value: q.seconds(value, 2)),
            _typical(loop.idle_s, lambda value: q.seconds(value, 2)),
            q.sparkline(profile(loop.idle_s)),
        ]
        for loop in order
    ]
    columns = ["each timestep\n(median)", "", things, "busy", "idle", "idle over the sequence"]
    table(console, columns, rows)


def _typical(values: Sequence[float | None], shown: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return shown(median(known)) if known else q.NOTHING


def _note_lines(found: ProfileSummary) -> list[str]:
    made = found.measured
    slowed = found.slowdown
    factor = q.NOTHING if slowed.value is None else f"{slowed.value:.2f}"
    notes = [
        f"the profiler made these steps {factor} times as long as bare ones, which stay the "
        "headline; idle contains that",
        "window: to the end of the last work that the phase launched; windows tile the step",
    ]
    if made.on == "processor":
        notes.append(
            "busy: an operator runs (outermost ones, counted once); idle: Python, autograd"
        )
    if made.launchless:
        notes.append(f"{made.launchless:,} activities have no recorded launch: busy, but nobody's")
    if made.timesteps_reason is not None:
        notes.append(f"no timesteps: {made.timesteps_reason}")
    if made.timesteps and made.clock_error_s is not None:
        notes.append(
            f"timesteps: by launch inside their marks (clocks tied to "
            f"± {q.seconds(made.clock_error_s, 2)})"
        )
    return notes
