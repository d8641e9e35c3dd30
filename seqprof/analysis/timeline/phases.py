"""Which step and which phase each moment of the host's time belongs to.

A kernel's phase is that of the host window in which its *launch* lies, on any thread (METRICS.md):
autograd launches from a thread of its own, so matching by thread loses the backward.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.intervals import Intervals, union
from seqprof.analysis.timeline.structure import (
    ANNOTATION,
    OPERATOR,
    Bools,
    HostEvents,
    Ints,
    Timeline,
)

PHASES = ("forward", "loss", "backward", "optimizer", "data", "communication", "other")
OTHER = PHASES.index("other")
#: No step: before the first, after the last, or in a trace without steps.
OUTSIDE = -1

Method = Literal["annotation", "autograd"]

#: How torch.profiler names its steps.
STEP_NAME = r"^ProfilerStep#\d"
#: What torch.compile made of a function.
_COMPILED = r"^Torch-Compiled Region: "
#: Annotation → phase, the first that matches; ``## forward ##``, ``Optimizer.step#SGD.step`` …
_SPELLINGS = (
    (
        "communication",
        r"nccl:|c10d|all_?reduce|all_?2_?all|all_?to_?all|all_?gather|reduce_scatter|broadcast",
    ),
    ("data", r"dataloader|load_batch|wait_for_batch|copy_batch|next_batch|\bdata\b"),
    ("optimizer", r"optimizer|\boptim\b|zero_grad"),
    ("backward", r"(?:^|[^a-z])(?:backward|bwd|bptt)(?:[^a-z]|$)"),
    ("forward", r"(?:^|[^a-z])(?:forward|fwd)(?:[^a-z]|$)"),
    ("loss", r"(?:^|[^a-z])loss(?:[^a-z]|$)"),
)
AUTOGRAD_OPERATOR = r"^autograd::engine::evaluate_function|AccumulateGrad$|Backward\d*$"


class Segments(Struct, frozen=True):
    """Host time cut where the step or the phase changes; ``start_ns[i]`` begins segment i.

    Segment 0 begins before everything. ``step`` is a row of ``Phases.steps`` or ``OUTSIDE``.
    ``settled_ns``: host times, ascending, at which the device had done all that was launched.
    """

    start_ns: Ints
    step: Ints
    phase: Ints
    settled_ns: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def at(self, times: Ints) -> Ints:
        """The segment in which each of ``times`` lies."""
        return np.searchsorted(self.start_ns, times, side="right") - 1


class Phases(Struct, frozen=True):
    """Steps, phases and how each phase was found."""

    steps: HostEvents
    step_names: tuple[str, ...]
    segments: Segments
    methods: dict[str, Method]
    main_thread: int
    #: Steps that were left out because others are inside them.
    nested_steps: int = 0


def divide(timeline: Timeline) -> Phases:
    """Divide the host's time into steps and phases.

    Phases come from annotations on the thread that drives the steps, the innermost where they
    nest (communication only where it stands alone). Forward and backward that nobody annotated
    come from autograd: backward is where its nodes are evaluated, forward what precedes it from the
    first operator whose sequence number a node bears.
    """
    marked = _find_marks(timeline)
    steps, windows, labels = marked.steps, marked.windows, marked.labels
    methods: dict[str, Method] = {PHASES[label]: "annotation" for label in sorted(set(labels))}
    bounds, values = innermost(windows.start_ns, windows.end_ns, labels)
    for name, intervals in _from_autograd(timeline, steps, methods).items():
        methods[name] = "autograd"
        bounds, values = _fill(bounds, values, intervals, PHASES.index(name))
    return Phases(
        steps=steps,
        step_names=tuple(timeline.names[code] for code in steps.name),
        segments=_segments(steps, bounds, values, _settled(timeline, steps)),
        methods=methods,
        main_thread=marked.main_thread,
        nested_steps=marked.nested,
    )


class _Marks(Struct, frozen=True):
    """Annotations that mark steps, and phases on the thread that drives them.

    ``labels[i]`` is the phase of ``windows[i]``; ``nested`` steps were left out.
    """

    steps: HostEvents
    nested: int
    windows: HostEvents
    labels: Ints
    main_thread: int


def _find_marks(timeline: Timeline) -> _Marks:
    host = timeline.host
    annotations = host.where(host.kind == ANNOTATION)
    is_step = timeline.named(annotations.name, STEP_NAME)
    every_step = annotations.where(is_step)
    steps = _innermost_steps(every_step)
    phase = _phase_of_names(timeline)[annotations.name]
    phased = (phase >= 0) & ~is_step
    main = _main_thread(host, annotations, is_step, phased)
    marks = phased & (annotations.thread == main)
    windows = annotations.where(marks)
    if timeline.synchronized:
        steps = _from_first_phase(steps, windows.start_ns)
    return _Marks(steps, len(every_step) - len(steps), windows, phase[marks], main)


def _innermost_steps(steps: HostEvents) -> HostEvents:
    """Leave out steps around others; of equal ones the last stays."""
    if len(steps) < 2:
        return steps
    # In order of start, the longest first: one that holds any other holds the next.
    around = (steps.start_ns[1:] < steps.end_ns[:-1]) & (steps.end_ns[1:] <= steps.end_ns[:-1])
    return steps.where(~np.append(around, False))


def _from_first_phase(steps: HostEvents, phases_ns: Ints) -> HostEvents:
    """Steps that begin with their first phase: what a profiler does before it is left out."""
    after = np.append(np.sort(phases_ns), np.iinfo(np.int64).max)
    first = after[np.searchsorted(after, steps.start_ns)]
    start_ns = np.where(first < steps.end_ns, first, steps.start_ns)
    return msgspec.structs.replace(steps, start_ns=start_ns)


def settled_at(timeline: Timeline) -> Ints:
    """When the device is known to have nothing to do: as steps begin, if they were waited for."""
    return _settled(timeline, _find_marks(timeline).steps)


def _settled(timeline: Timeline, steps: HostEvents) -> Ints:
    return steps.start_ns if timeline.synchronized else steps.start_ns[:0]


def _phase_of_names(timeline: Timeline) -> Ints:
    """The phase that each name spells, or -1."""
    spellings = [(PHASES.index(phase), re.compile(text)) for phase, text in _SPELLINGS]
    phase_of = np.full(len(timeline.names) + 1, -1, dtype=np.int64)
    every = np.arange(len(timeline.names))
    first = timeline.first_alike if timeline.first_alike is not None else every
    for code in every[first == every].tolist():
        lower = timeline.names[code].lower()
        phase_of[code] = next((phase for phase, text in spellings if text.search(lower)), -1)
    phase_of[:-1] = phase_of[first]
    return phase_of


def _main_thread(host: HostEvents, marks: HostEvents, is_step: Bools, phased: Bools) -> int:
    """The thread that drives the steps, else that of most phase marks, else the busiest."""
    for threads in (marks.thread[is_step], marks.thread[phased]):
        if len(threads):
            return int(np.bincount(threads).argmax())
    operators = host.thread[host.kind == OPERATOR]
    threads = operators if len(operators) else host.thread
    return int(np.bincount(threads).argmax()) if len(threads) else -1


def innermost(start: Ints, end: Ints, labels: Ints) -> tuple[Ints, Ints]:
    """Flatten nested windows: ``(bounds, values)``, values[i] holds from bounds[i] on.

    The innermost window counts; communication gives way to every other phase around it.
    """
    communication = PHASES.index("communication")
    order = np.lexsort((labels, -end, start))
    stack: list[tuple[int, int]] = []
    bounds: list[int] = [np.iinfo(np.int64).min]
    values: list[int] = [OTHER]

    def close(until: int) -> None:
        while stack and stack[-1][0] <= until:
            at, _ = stack.pop()
            mark(at)

    def mark(at: int) -> None:
        bounds.append(at)
        values.append(stack[-1][1] if stack else OTHER)

    for row in order:
        begin, stop, label = int(start[row]), int(end[row]), int(labels[row])
        close(begin)
        if stop <= begin:
            continue
        # Windows of one thread nest; one that sticks out of its parent is cut to it.
        stop = min(stop, stack[-1][0]) if stack else stop
        outer = stack[-1][1] if stack else OTHER
        stack.append((stop, outer if label == communication and outer != OTHER else label))
        mark(begin)
    close(np.iinfo(np.int64).max)
    return np.array(bounds, dtype=np.int64), np.array(values, dtype=np.int64)


def _fill(bounds: Ints, values: Ints, intervals: Intervals, label: int) -> tuple[Ints, Ints]:
    """Give the unlabelled time inside ``intervals`` the phase ``label``."""
    cuts = distinct(np.concatenate((bounds, intervals.start, intervals.end)))
    current = values[np.searchsorted(bounds, cuts, side="right") - 1]
    return cuts, np.where((current == OTHER) & intervals.contains(cuts), label, current)


def autograd_operators(timeline: Timeline) -> Bools:
    """Which host events evaluate a node of autograd's graph."""
    host = timeline.host
    matching: Bools = (host.kind == OPERATOR) & timeline.named(host.name, AUTOGRAD_OPERATOR)
    return matching


def _from_autograd(
    timeline: Timeline, steps: HostEvents, methods: dict[str, Method]
) -> dict[str, Intervals]:
    """Windows of forward and backward, for those that no annotation gives."""
    nodes = autograd_operators(timeline)
    if not nodes.any() or {"forward", "backward"} <= methods.keys():
        return {}
    backward = _backward_windows(timeline, nodes, steps)
    intervals = {} if "backward" in methods else {"backward": backward}
    if "forward" not in methods:
        forward = _forward_windows(timeline, nodes, backward, steps)
        if len(forward):
            intervals["forward"] = forward
    return intervals


def _backward_windows(timeline: Timeline, nodes: Bools, steps: HostEvents) -> Intervals:
    """Join autograd's nodes where nothing else begins between them and no step ends."""
    host = timeline.host
    joined = union(host.start_ns[nodes], host.end_ns[nodes])
    others = (host.kind == OPERATOR) & ~nodes
    breaks = np.sort(np.concatenate((host.start_ns[others], steps.start_ns)))
    # An operator inside a node is part of the backward, not a break.
    breaks = breaks[~joined.contains(breaks)]
    between = np.searchsorted(breaks, joined.start[1:]) > np.searchsorted(breaks, joined.end[:-1])
    first = np.concatenate(([True], between))
    last = np.concatenate((between, [True]))
    return Intervals(joined.start[first], joined.end[last])


def _forward_windows(
    timeline: Timeline, nodes: Bools, backward: Intervals, steps: HostEvents
) -> Intervals:
    """From the first operator that autograd recorded up to the backward that follows.

    The backward need not reach it: timesteps before a detached state are of the forward too.
    """
    host = timeline.host
    latest = host.sequence[nodes].max(initial=-1)
    recorded = (host.kind == OPERATOR) & ~nodes & (host.sequence >= 0) & (host.sequence <= latest)
    begins = np.sort(host.start_ns[recorded & ~backward.contains(host.start_ns)])
    earliest = np.concatenate(([np.iinfo(np.int64).min], backward.end[:-1]))
    step = np.searchsorted(steps.start_ns, backward.start, side="right") - 1
    if len(steps):
        earliest = np.where(step >= 0, np.maximum(earliest, steps.start_ns[step]), earliest)
    at = np.searchsorted(begins, earliest)
    have = at < len(begins)
    start = np.where(have, begins[np.minimum(at, len(begins) - 1)], 0) if len(begins) else at
    have &= start < backward.start if len(begins) else False
    return Intervals(_begin_of_compiled(timeline, start[have]), backward.start[have])


def _begin_of_compiled(timeline: Timeline, times: Ints) -> Ints:
    """When what torch.compile made began that runs at each of ``times``, else the time itself.

    The operator that autograd records lies inside of it.
    """
    host = timeline.host
    rows = np.flatnonzero(host.kind == OPERATOR)
    rows = rows[timeline.named(host.name[rows], _COMPILED)]
    if not len(rows):
        return times
    row = rows[np.maximum(np.searchsorted(host.start_ns[rows], times, side="right") - 1, 0)]
    inside = (host.start_ns[row] <= times) & (times < host.end_ns[row])
    return np.where(inside, host.start_ns[row], times)


def _segments(steps: HostEvents, bounds: Ints, values: Ints, settled_ns: Ints) -> Segments:
    """Cut at every change of phase and of step; neighbours that agree are joined."""
    cuts = distinct(np.concatenate((bounds, steps.start_ns, steps.end_ns)))
    phase = values[np.searchsorted(bounds, cuts, side="right") - 1]
    step = np.searchsorted(steps.start_ns, cuts, side="right") - 1
    if len(steps):
        reach = np.maximum.accumulate(steps.end_ns)
        step = np.where((step >= 0) & (cuts < reach[np.maximum(step, 0)]), step, OUTSIDE)
    change = np.concatenate(([True], (phase[1:] != phase[:-1]) | (step[1:] != step[:-1])))
    return Segments(cuts[change], step[change], phase[change], settled_ns)
