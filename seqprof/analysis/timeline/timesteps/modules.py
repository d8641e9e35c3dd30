"""Which modules fill the repeats of a loop, in traces recorded with ``with_stack=True``."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.structure import MODULE, Floats, HostEvents, Ints, Timeline
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.verdict import MOST

#: Compiled graphs all bear the same name, whichever they are.
_OWN_MODULE = r"^nn\.Module: (?!GraphModule)"
#: Share of a loop's time inside modules that are called in it, below which they say nothing.
_ENOUGH = 0.3
#: Events on the host before a pass in which calls are sought that last into it.
_BEFORE = 1000
#: By how many repeats a loop may be miscounted at its ends.
_MISCOUNTED = 2
#: A call in which so many repeats begin is around several of them.
_AROUND_MORE = 2


class ModuleCalls(Struct, frozen=True):
    """Time of each repeat in each module that is called inside it; one row per pair.

    ``inside_ns`` is the time of each repeat in modules, also in calls that an earlier one began.
    ``calls`` are those that may lie inside a repeat.
    """

    repeats: int
    repeat: Ints
    module: Ints
    time_ns: Ints
    inside_ns: Ints
    calls: HostEvents

    def shared_with(self, distance: int) -> Floats:
        """Of the time in modules, the share in those that repeat i − ``distance`` calls too.

        One value for each repeat from ``distance`` on; nan of one that mostly ends a call which the
        one before began: where repeats are cut inside of calls, the last is.
        """
        width = int(self.module.max()) + 1
        before = among(
            (self.repeat - distance) * width + self.module,
            np.sort(self.repeat * width + self.module),
        )
        whole = np.zeros(self.repeats, dtype=np.int64)
        again = np.zeros(self.repeats, dtype=np.int64)
        np.add.at(whole, self.repeat, self.time_ns)
        np.add.at(again, self.repeat[before], self.time_ns[before])
        known = (whole > 0) & (2 * whole >= self.inside_ns)
        return np.where(known, again / np.maximum(whole, 1), np.nan)[distance:]

    def settled(self, one: Pass, whole: RepeatLoop, part: RepeatLoop) -> RepeatLoop:
        """The loop ``part`` of ``whole``, begun where its module is called if it is cut in calls.

        Then one more repeat, or one less, fits as well. The module that is called once in most
        repeats but the first and the last, which the edges of the loop cut, is called once in each
        timestep; of several the one called most often.
        """
        launch_ns, bounds = one.activities.launch_ns, part.bounds()
        if self._cut(launch_ns, part) < MOST * part.repeats:
            return part
        row = np.searchsorted(launch_ns, self.calls.start_ns)
        ends = np.searchsorted(launch_ns, self.calls.end_ns)
        inside = (ends > whole.starts[0]) & (row < whole.end)
        row, ends, calls = row[inside], ends[inside], self.calls.where(inside)
        repeat = np.searchsorted(bounds, row, side="right") - 1
        mine = (repeat >= 0) & (repeat < part.repeats)
        each_once = [
            called
            for module in distinct(calls.name[mine])
            if _once_inside(repeat[mine & (called := calls.name == module)], part.repeats)
        ]
        length = calls.end_ns - calls.start_ns
        chosen = max(
            each_once, key=lambda called: (called.sum(), length[called].sum()), default=None
        )
        if chosen is None or not 0 <= abs(chosen.sum() - part.repeats) <= _MISCOUNTED:
            return part
        rows, ends = row[chosen], ends[chosen]
        behind = max(int(np.median(rows[1:] - ends[:-1])), 0)
        return RepeatLoop(tuple(rows.tolist()), min(int(ends[-1]) + behind, whole.end))

    def _cut(self, launch_ns: Ints, loop: RepeatLoop) -> int:
        """How many repeats begin within a call, with something of it before them."""
        calls = self.calls
        outermost = np.append(True, calls.start_ns[1:] >= np.maximum.accumulate(calls.end_ns)[:-1])
        calls = calls.where(outermost[: len(calls)])
        starts = loop.bounds()[1:-1]
        row = np.searchsorted(calls.start_ns, launch_ns[starts], side="right") - 1
        inside = (row >= 0) & (launch_ns[starts] < calls.end_ns[row])
        return int((inside & (calls.start_ns[row] <= launch_ns[starts - 1])).sum())


def _once_inside(repeat: Ints, repeats: int) -> bool:
    """Whether there is one call in most repeats but the first and the last, which edges cut."""
    return bool((np.bincount(repeat, minlength=repeats)[1:-1] == 1).mean() >= MOST)


def calls_per_repeat(timeline: Timeline, one: Pass, loop: RepeatLoop) -> ModuleCalls | None:
    """The innermost module of each activity, if that module's call lies inside the repeat.

    A module around the whole loop says nothing of its repeats. None where too little of the loop
    runs inside modules of its own.
    """
    edges = loop.edges_ns(one)
    host = timeline.host
    begin, end = np.searchsorted(host.start_ns, [one.start_ns, edges[-1]])
    # On a device the call that launches the first activity has begun before it.
    calls = host.at(slice(max(int(begin) - _BEFORE, 0), int(end)))
    current = (calls.kind == MODULE) & (calls.end_ns > one.start_ns)
    calls = calls.where(current & timeline.named(calls.name, _OWN_MODULE))
    if not len(calls):
        return None
    rows = slice(loop.starts[0], loop.end)
    launched, duration = one.activities.launch_ns[rows], one.duration_ns[rows]
    repeat = np.repeat(np.arange(loop.repeats), np.diff(loop.bounds()))
    call = innermost_calls(calls, launched)
    # By the repeats that begin in it, not by its length: a pause inside makes one call long.
    # The first repeat begins in a call wherever the others are cut.
    later = edges[1:]
    begun = np.searchsorted(later, calls.end_ns) - np.searchsorted(later, calls.start_ns)
    inside = (call >= 0) & (begun[call] < _AROUND_MORE)
    if duration[inside].sum() < _ENOUGH * duration.sum():
        return None
    width = int(calls.name.max()) + 1
    # A call belongs to the repeat in which it works first: one that an edge cuts is no second call.
    first = np.full(len(calls), loop.repeats)
    np.minimum.at(first, call[inside], repeat[inside])
    pairs = first[call[inside]] * width + calls.name[call[inside]]
    keys = distinct(pairs)
    time = np.zeros(len(keys), dtype=np.int64)
    np.add.at(time, np.searchsorted(keys, pairs), duration[inside])
    in_modules = np.zeros(loop.repeats, dtype=np.int64)
    np.add.at(in_modules, repeat[inside], duration[inside])
    return ModuleCalls(
        loop.repeats,
        keys // width,
        keys % width,
        time,
        in_modules,
        calls.where(begun < _AROUND_MORE),
    )


def innermost_calls(calls: HostEvents, times: Ints) -> Ints:
    """The row of the innermost of the nested ``calls`` around each of ``times``; -1 without one."""
    bounds: list[int] = []
    values: list[int] = []
    open_calls: list[tuple[int, int]] = []

    def close(until: int) -> None:
        while open_calls and open_calls[-1][0] <= until:
            at, _ = open_calls.pop()
            bounds.append(at)
            values.append(open_calls[-1][1] if open_calls else -1)

    for row, (start, end) in enumerate(
        zip(calls.start_ns.tolist(), calls.end_ns.tolist(), strict=True)
    ):
        close(start)
        bounds.append(start)
        values.append(row)
        open_calls.append((end, row))
    close(np.iinfo(np.int64).max)
    at = np.searchsorted(np.array(bounds, dtype=np.int64), times, side="right") - 1
    return np.where(at >= 0, np.array(values, dtype=np.int64)[np.maximum(at, 0)], -1)
