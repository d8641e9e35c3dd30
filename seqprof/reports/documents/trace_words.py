"""What a trace comes to in sentences, and kernels by names that can be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seqprof.reports import quantities as q
from seqprof.reports.document import Cell, Prose, Section, word

if TYPE_CHECKING:  # its module needs numpy, which a stored trace is shown without
    from seqprof.analysis.timeline.summary import DeviceSummary, TraceSummary
    from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence

#: A kernel or operator with at least this share of all durations is named in the answer.
_LARGE = 0.3
#: Loops that the headline tells.
_LOOPS = 4
#: Operators that a loop over timesteps slices its sequence with, and their gradients.
_SLICES = ("SliceBackward", "SelectBackward", "aten::slice_backward", "aten::select_backward")
_SLICING = "the loop takes its timesteps by slices, and each gradient is as long as the sequence"
_WHY = {
    "launch": "the host had not launched the next kernel",
    "sync": "the host waited inside a synchronizing call",
    "data": "the host waited for its data loader",
    "communication": "a collective was awaited",
    "dependency": "the device itself needed the gaps",
    "unknown": "the launches are not in the trace",
}
_PROCESSOR_WHY = {**_WHY, "launch": "Python and autograd ran between operators"}
_NS = 1e-9

#: Of a kernel's name in a table.
LONGEST_NAME = 42


def trace_in_words(summary: TraceSummary) -> list[str]:
    """Return the sentences that answer: how idle, why, and what took the time."""
    devices = summary.accounts
    if not devices:
        return ["The trace holds neither device activities nor operators: nothing to analyse."]
    several = len(devices) > 1
    lines = []
    for device in devices:
        where = f"{device.title}: " if several or device.device is None else ""
        lines += [where + _idle(device), *_largest(device), *_timesteps(device)]
    return lines


def _idle(device: DeviceSummary) -> str:
    who = "operators run" if device.device is None else "the device is busy"
    if device.idle_fraction is None:
        return "nothing ran."
    busy = 1.0 - device.idle_fraction
    sentence = f"in {q.seconds(device.span_ns * _NS)} {who} {busy:.1%} of the time"
    causes = {cause: time for cause, time in device.idle_by_cause_ns.items() if time}
    if not causes or not device.idle_ns:
        return _capital(f"{sentence}.")
    cause = max(causes, key=lambda name: causes[name])
    why = (_PROCESSOR_WHY if device.device is None else _WHY)[cause]
    return _capital(
        f"{sentence}; {causes[cause] / device.idle_ns:.0%} of the idle "
        f"{q.seconds(device.idle_ns * _NS)} is because {why} ({cause})."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _largest(device: DeviceSummary) -> list[str]:
    if not device.kernels or device.kernels[0].share < _LARGE:
        return []
    kernel = device.kernels[0]
    name = short_name(kernel.name, 60)
    slices = f": {_SLICING}" if any(part in kernel.name for part in _SLICES) else ""
    what = "operators" if device.device is None else "kernels"
    return [f"`{name}` takes {kernel.share:.0%} of the time of all {what}{slices}."]


def _timesteps(device: DeviceSummary) -> list[str]:
    undecided = [
        f"{'The whole trace' if one.phase == 'other' else one.phase.capitalize()}: {one.reason}."
        for one in device.not_recurrent
        if one.undecided
    ]
    loops = [
        f"{_which_loop(device, recurrence)} repeats {recurrence.repeats} times"
        f"{_how_often(recurrence)}: a timestep takes "
        f"{q.seconds(recurrence.median_latency_ns * _NS)}, of which nothing ran for "
        f"{q.seconds(recurrence.median_gap_ns * _NS)}."
        for recurrence in device.recurrences[:_LOOPS]
    ]
    disagree = [
        f"Forward and backward disagree: T = {one.forward_repeats} and {one.repeats}."
        for one in device.recurrences
        if one.disagrees
    ]
    return loops + disagree + undecided[:1]


def _which_loop(device: DeviceSummary, recurrence: Recurrence) -> str:
    """The phase of a loop, and which of its loops it is where there are several."""
    phase = "The whole trace" if recurrence.phase == "other" else recurrence.phase.capitalize()
    alike = [one for one in device.recurrences if one.phase == recurrence.phase]
    if len(alike) == 1:
        return phase
    return f"{phase}, loop {alike.index(recurrence) + 1} of {len(alike)},"


def _how_often(recurrence: Recurrence) -> str:
    if recurrence.loops == 1:
        return ""
    return f" in each of {recurrence.loops} loops (layers or directions one after another)"


def next_of(summary: TraceSummary) -> list[Section]:
    """Return the command that follows; none where nothing was analysed."""
    if not summary.accounts:
        return []
    command = f"seqprof trace {summary.source} -o report.html"
    return [
        Section(
            title="Next: see it drawn over time",
            blocks=[Prose(lines=[], command=command)],
        )
    ]


def named(name: str, width: int = LONGEST_NAME) -> Cell:
    """Return a kernel's or operator's name as :func:`short_name`, with the whole to open."""
    short = short_name(name, width)
    return word(name) if short == name else Cell(text=short, full=name)


def short_name(name: str, width: int) -> str:
    """A kernel's name without template arguments and parameters; both ends of a long one."""
    short = name.removeprefix("void ").replace("(anonymous namespace)::", "")
    short = short.removeprefix("autograd::engine::evaluate_function: ")
    # CUTLASS calls every kernel Kernel or Kernel2; which one it is, only its argument says.
    short = re.sub(r"^cutlass::Kernel\d*<(\w+)>.*", r"\1", short)
    while (stripped := re.sub(r"<[^<>]*>", "", short)) != short:
        short = stripped
    short = re.sub(r"\(.*", "", short) if re.match(r"[\w:~]+\(", short) else short
    short = short.strip() or name
    short = "".join(char if char.isprintable() else "?" for char in short)
    if len(short) > width:
        keep = (width - 1) // 2
        short = f"{short[: width - 1 - keep]}…{short[-keep:]}"
    return short
