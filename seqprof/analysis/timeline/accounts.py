"""Busy and idle of one device, by group of windows: all groups in one pass over sorted columns.

A group is a step, a phase, or a phase of a step. The work is O(n log n) in activities and windows
whatever the number of groups, so a trace of thousands of steps costs no more per megabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.causes import CAUSES, Gaps
from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.intervals import Intervals, union_by_group
from seqprof.analysis.timeline.phases import PHASES, Phases
from seqprof.analysis.timeline.structure import Activities, Ints
from seqprof.analysis.timeline.windows import Windows

#: Group of a window or activity that belongs to none.
NO_GROUP = -1


class Account(Struct, frozen=True, kw_only=True):
    """Busy and idle of some windows of one device; idle by cause adds up to idle exactly.

    ``own_busy_ns`` is the union of the activities that this step or phase launched, wherever they
    ran; it may exceed ``busy_ns`` where phases overlap on the device.
    """

    window_ns: int
    busy_ns: int
    idle_ns: int
    idle_fraction: float | None
    idle_by_cause_ns: Mapping[str, int]
    activities: int
    launches: int
    own_busy_ns: int


class PhaseWindowAccount(Account, frozen=True, kw_only=True):
    """``method``: ``annotation``, ``autograd`` (its structure), or null for what is left."""

    phase: str
    method: str | None


class StepAccount(Account, frozen=True, kw_only=True):
    """``host_ns`` is the step on the host, ``host_working_ns`` what of it was not waiting."""

    step: str
    host_ns: int
    host_working_ns: int
    phases: tuple[PhaseWindowAccount, ...]


class Totals(Struct, frozen=True):
    """Columns of :class:`Account`, one row per group; ``cause_ns[group][cause]``."""

    window_ns: list[int]
    busy_ns: list[int]
    cause_ns: list[list[int]]
    activities: list[int]
    launches: list[int]
    own_busy_ns: list[int]

    def fields(self, group: int) -> dict[str, object]:
        """The fields of the :class:`Account` of one group."""
        length, occupied = self.window_ns[group], self.busy_ns[group]
        return {
            "window_ns": length,
            "busy_ns": occupied,
            "idle_ns": length - occupied,
            "idle_fraction": fraction(length - occupied, length),
            "idle_by_cause_ns": by_cause(self.cause_ns[group]),
            "activities": self.activities[group],
            "launches": self.launches[group],
            "own_busy_ns": self.own_busy_ns[group],
        }

    def is_empty(self, group: int) -> bool:
        """Whether nothing belongs to the group."""
        return not (self.window_ns[group] or self.activities[group])


class Ledger(Struct, frozen=True):
    """One device: windows that tile its span, its gaps, and the segment of each launch."""

    activities: Activities
    phases: Phases
    segment: Ints
    covered: Intervals
    windows: Windows
    gaps: Gaps

    def totals(self, window_group: Ints, segment_group: Ints, groups: int) -> Totals:
        """Add up all windows and activities by group.

        Args:
            window_group: group of each window, [windows]; ``NO_GROUP`` leaves it out.
            segment_group: group of the activities launched in each segment, [segments].
            groups: how many there are.
        """
        length = _summed(self.windows.length, window_group, groups)
        occupied = _summed(self.windows.within(self.covered), window_group, groups)
        of_gap = window_group[self.windows.of(self.gaps.where.start)]
        causes = np.zeros((groups, len(CAUSES)), dtype=np.int64)
        for cause in np.flatnonzero(self.gaps.cause_ns.any(axis=0)):
            causes[:, cause] = _summed(self.gaps.cause_ns[:, cause], of_gap, groups)
        launched = self.segment >= 0
        group = np.where(launched, segment_group[self.segment], NO_GROUP)
        mine = np.flatnonzero(group >= 0)
        group, activities = group[mine], self.activities
        count = np.bincount(group, minlength=groups)
        launches = _distinct_by_group(activities.launch[mine], group, groups)
        own = union_by_group(activities.start_ns[mine], activities.end_ns[mine], group, groups)
        columns = (length, occupied, causes, count, launches, own)
        return Totals(*(column.tolist() for column in columns))

    def by_phase(self) -> tuple[PhaseWindowAccount, ...]:
        """One account for each phase that has windows or activities."""
        phases = self.phases
        totals = self.totals(self.windows.phase, phases.segments.phase, len(PHASES))
        return _phase_accounts(totals, phases, 0)

    def by_step(self, host_working_ns: Sequence[int]) -> tuple[StepAccount, ...]:
        """One account for each step, and in it one for each of its phases."""
        phases, steps = self.phases, self.phases.steps
        if not len(steps):
            return ()
        whole = self.totals(self.windows.step, phases.segments.step, len(steps))
        width = len(PHASES)
        split = self.totals(
            _joint(self.windows.step, self.windows.phase, width),
            _joint(phases.segments.step, phases.segments.phase, width),
            len(steps) * width,
        )
        return tuple(
            StepAccount(
                step=name,
                host_ns=int(steps.end_ns[row] - steps.start_ns[row]),
                host_working_ns=int(host_working_ns[row]),
                phases=_phase_accounts(split, phases, row * width),
                **whole.fields(row),  # type: ignore[arg-type]
            )
            for row, name in enumerate(phases.step_names)
        )

    def outside_steps(self) -> Account | None:
        """What lies outside all steps; null in a trace without steps."""
        if not len(self.phases.steps):
            return None
        outside = np.where(self.windows.step < 0, 0, NO_GROUP)
        totals = self.totals(outside, np.where(self.phases.segments.step < 0, 0, NO_GROUP), 1)
        return Account(**totals.fields(0))  # type: ignore[arg-type]


def _phase_accounts(totals: Totals, phases: Phases, first: int) -> tuple[PhaseWindowAccount, ...]:
    """The accounts of the groups from ``first`` on, one per phase."""
    return tuple(
        PhaseWindowAccount(
            phase=phase,
            method=phases.methods.get(phase),
            **totals.fields(first + code),  # type: ignore[arg-type]
        )
        for code, phase in enumerate(PHASES)
        if not totals.is_empty(first + code)
    )


def _joint(step: Ints, phase: Ints, width: int) -> Ints:
    return np.where(step >= 0, step * width + phase, NO_GROUP)


def _summed(values: Ints, group: Ints, groups: int) -> Ints:
    """Integer sums; ``bincount`` with weights would add floats."""
    sums = np.zeros(groups, dtype=np.int64)
    inside = group >= 0
    np.add.at(sums, group[inside], values[inside])
    return sums


def _distinct_by_group(values: Ints, group: Ints, groups: int) -> Ints:
    """How many distinct values (not negative) each group has."""
    if not len(values):
        return np.zeros(groups, dtype=np.int64)
    width = int(values.max()) + 1
    return np.bincount(distinct(group * width + values) // width, minlength=groups)


def by_cause(causes: Sequence[int]) -> dict[str, int]:
    """Nanoseconds by the name of the cause."""
    return dict(zip(CAUSES, causes, strict=True))


def fraction(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole else None
