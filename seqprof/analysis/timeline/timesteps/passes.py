"""The passes over a phase in which repeats are sought: activities in the order of their launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, overload

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.phases import PHASES, Phases
from seqprof.analysis.timeline.processor import PROCESSOR, inner_operators, outermost_operators
from seqprof.analysis.timeline.structure import Activities, Ints, Timeline

#: Passes over a phase that are searched where they are of the same size, to within this part.
SEARCHED = 3
_SAME_SIZE = 0.02
#: The same where sizes differ, and the activities of all of them together.
_MOST_SEARCHED = 64
_SEARCHED_ACTIVITIES = 400_000
#: Symbols of a pass that are searched.
_LONGEST = 200_000
#: A segment with fewer activities than this part of the largest is a scrap, no pass.
_SCRAP = 0.1
#: Operators that run a recurrent layer, and what is inside them where one kernel does it all.
_LAYER = r"^aten::(?:lstm|gru|rnn_tanh|rnn_relu|quantized_lstm|quantized_gru)$"
_FUSED = r"mkldnn_rnn|_cudnn_rnn|miopen_rnn|mps_lstm"
#: Operators before the first launch of a pass on a device that may belong to it.
_VIEWS_BEFORE = 16
#: An operator that takes this part of a pass is looked into.
_DOMINANT = 0.5
_FAR = np.iinfo(np.int64).max

#: Start, end and name of host operators.
Work: TypeAlias = tuple[Ints, Ints, Ints]


class Pass(Struct, frozen=True):
    """One uninterrupted pass over a phase.

    ``work_start_ns`` and ``work_end_ns`` are the host operators, one after another, under which the
    activities were launched, ``work_name`` their names. ``layers`` are from when to when recurrent
    layers ran that were replaced by what is inside them. ``step`` names the profiler's step, if it
    is in one.
    """

    phase: str
    activities: Activities
    start_ns: int
    end_ns: int
    work_start_ns: Ints
    work_end_ns: Ints
    work_name: Ints
    layers: tuple[tuple[int, int], ...] = ()
    step: str = ""

    @property
    def duration_ns(self) -> Ints:
        return self.activities.end_ns - self.activities.start_ns

    def begun_at(self, rows: Ints) -> Ints:
        """When the operators that launched activities began, if they launched none before them.

        What autograd and modules say of an operator bears the time at which that began, which is
        before its first launch. Of the row behind the last, when all have ended.
        """
        launches = self.activities.launch_ns
        inside = rows < len(launches)
        launch = launches[np.minimum(rows, len(launches) - 1)]
        work = self.work_of(launch)
        begin = np.append(self.work_start_ns, 0)[work]
        first = (rows == 0) | (launches[np.maximum(rows, 1) - 1] < begin)
        end = min(self.end_ns, int(self.activities.end_ns.max()))
        return np.where(inside, np.where((work >= 0) & first, begin, launch), end)

    def work_of(self, times: Ints) -> Ints:
        """The operator that runs at each of ``times``; -1 where none does."""
        if not len(self.work_start_ns):
            return np.full(len(times), -1)
        row = np.searchsorted(self.work_start_ns, times, side="right") - 1
        inside = (row >= 0) & (times < self.work_end_ns[np.maximum(row, 0)])
        return np.where(inside, row, -1)


class Passes(Sequence[Pass]):
    """The passes of a phase in order of time; each is cut out when it is asked for."""

    def __init__(
        self,
        activities: Activities,
        order: Ints,
        bounds: Ints,
        windows_ns: Ints,
        phase: str,
        names: Sequence[str],
        work: Work,
    ) -> None:
        """Pass i is the rows ``order[bounds[0, i] : bounds[1, i]]``, in ``windows_ns[:, i]``."""
        self._activities, self._order, self._bounds = activities, order, bounds
        self._windows_ns, self._phase, self._names, self._work = windows_ns, phase, names, work

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> Pass: ...

    @overload
    def __getitem__(self, at: slice) -> list[Pass]: ...

    def __getitem__(self, at: int | slice) -> Pass | list[Pass]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        begin, stop = self._bounds[:, at].tolist()
        first_ns, last_ns = self._windows_ns[:, at].tolist()
        rows = self._order[begin:stop][:_LONGEST]
        activities = self._activities.at(rows)
        return _pass(self._phase, activities, (first_ns, last_ns), self._work, self._names[at])

    @property
    def sizes(self) -> Ints:
        """How many activities each has."""
        sizes: Ints = np.minimum(self._bounds[1] - self._bounds[0], _LONGEST)
        return sizes

    def ending_after(self, time_ns: int, most: int) -> list[Pass]:
        """The first passes that end after ``time_ns``, at most ``most``."""
        row = int(np.searchsorted(self._windows_ns[1], time_ns, side="right"))
        return self[row : row + most]


def passes(activities: Activities, segment: Ints, phases: Phases, phase: str, work: Work) -> Passes:
    """The passes of a phase; launchless activities are left out.

    Args:
        segment: the segment of each activity's launch.
        work: start, end and name of the host's operators, as :func:`host_work` gives them.
    """
    segments = phases.segments
    wanted = np.flatnonzero(segments.phase == PHASES.index(phase))
    counts = np.bincount(segment[segment >= 0], minlength=len(segments.phase))
    wanted = wanted[counts[wanted] > _SCRAP * counts[wanted].max(initial=0)]
    # One sort by segment and launch: each pass is then a slice.
    order = np.lexsort((activities.start_ns, activities.launch_ns, segment))
    begins = np.searchsorted(segment[order], wanted, side="left")
    stops = np.searchsorted(segment[order], wanted, side="right")
    ends = np.append(segments.start_ns[1:], _FAR)
    steps = segments.step[wanted].tolist()
    names = [phases.step_names[step] if step >= 0 else "" for step in steps]
    windows_ns = np.stack((segments.start_ns[wanted], ends[wanted]))
    return Passes(activities, order, np.stack((begins, stops)), windows_ns, phase, names, work)


def _pass(
    phase: str, activities: Activities, window_ns: tuple[int, int], work: Work, step: str
) -> Pass:
    first, last = activities.launch_ns[[0, -1]]
    here = slice(
        max(int(np.searchsorted(work[0], first, side="right")) - 1, 0),
        int(np.searchsorted(work[0], last, side="right")),
    )
    start, stop, name = (column[here] for column in work)
    return Pass(phase, activities, *window_ns, start, stop, name, step=step)


def host_work(timeline: Timeline, activities: Activities) -> Work:
    """Start, end and name of the outermost operators under which ``activities`` were launched."""
    if int(activities.device[0]) == PROCESSOR:
        return activities.start_ns, activities.end_ns, activities.name
    operators = outermost_operators(timeline)
    return operators.start_ns, operators.end_ns, operators.name


def on_the_host(timeline: Timeline, one: Pass) -> Pass | None:
    """The operators that launched a pass on a device; None on the processor, or without any."""
    if int(one.activities.device[0]) == PROCESSOR:
        return None
    operators = outermost_operators(timeline)
    first, last = np.searchsorted(operators.start_ns, one.activities.launch_ns[[0, -1]], "right")
    # Views that launch nothing precede what launches first.
    begin = max(int(first) - _VIEWS_BEFORE, int(np.searchsorted(operators.start_ns, one.start_ns)))
    operators = operators.at(slice(max(min(begin, int(first) - 1), 0), int(last)))
    if not len(operators):
        return None
    work = operators.start_ns, operators.end_ns, operators.name
    return Pass(one.phase, operators, one.start_ns, one.end_ns, *work, step=one.step)


def searched(passes: Passes) -> list[Pass]:
    """The passes that are searched, in order of time.

    Passes of the same size would only repeat the answer; where sizes differ T may, and each is
    searched as long as there are not too many.
    """
    sizes = passes.sizes
    if len(passes) <= SEARCHED:
        return list(passes)
    if sizes.max() - sizes.min() <= _SAME_SIZE * sizes.max():
        chosen = np.sort(np.argsort(-sizes, kind="stable")[:SEARCHED])
    else:
        most = min(len(passes), _MOST_SEARCHED, max(_SEARCHED_ACTIVITIES // int(sizes.mean()), 3))
        chosen = np.arange(most)
    return [passes[row] for row in chosen.tolist()]


def dominant(one: Pass) -> int | None:
    """The activity that takes most of the pass, if one does."""
    duration = one.duration_ns
    row = int(duration.argmax())
    return row if duration[row] >= _DOMINANT * duration.sum() else None


def recurrent_layers(timeline: Timeline, one: Pass) -> list[int]:
    """The operators of a pass that run a recurrent layer timestep by timestep."""
    if int(one.activities.device[0]) != PROCESSOR:
        return []
    rows = np.flatnonzero(timeline.named(one.activities.name, _LAYER)).tolist()
    return [row for row in rows if not _is_fused(timeline, int(one.activities.launch[row]))]


def _is_fused(timeline: Timeline, row: int) -> bool:
    return bool(timeline.named(inner_operators(timeline, row).name, _FUSED).any())


def opened(timeline: Timeline, one: Pass, rows: list[int]) -> Pass:
    """The same pass with the operators ``rows`` (ascending) replaced by those inside them.

    ``aten::lstm`` on packed sequences is one operator outside and a loop inside. The pass itself
    where nothing is inside.
    """
    if int(one.activities.device[0]) != PROCESSOR:
        return one
    parts, behind, layers = [], 0, []
    for row in rows:
        inner = inner_operators(timeline, int(one.activities.launch[row]))
        if len(inner):
            parts += [one.activities.at(slice(behind, row)), inner]
            layers.append((int(inner.start_ns[0]), int(inner.end_ns.max())))
            behind = row + 1
    if not parts:
        return one
    columns = zip(
        *(part.columns() for part in [*parts, one.activities.at(slice(behind, None))]), strict=True
    )
    joined = Activities(*(np.concatenate(column) for column in columns))
    work = joined.start_ns, joined.end_ns, joined.name
    if not timeline.named(one.activities.name[rows], _LAYER).all():
        layers = []
    return Pass(
        one.phase,
        joined,
        one.start_ns,
        one.end_ns,
        *work,
        layers=(*one.layers, *layers),
        step=one.step,
    )
