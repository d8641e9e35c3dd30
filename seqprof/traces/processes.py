"""Which process each activity of a device belongs to, in a file that holds several.

A device's events do not name the process that launched them: their ``pid`` is the device. Files
that were merged from several ranks use each correlation and device number several times. So each
device (what bears the same ``pid`` and device number) is given to one process: the one whose name
is decorated alike (``[TP01] 0`` and ``[TP01] 4711``), else the one whose calls fit best.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import Ints

#: Share of the activities of a device whose launch one process has, for all to be its own.
_ENOUGH = 0.5
#: Processes that explain less than this each, and hardly an activity twice, share the device.
_MOST, _TWICE = 0.75, 1.1
NO_PROCESS = -1


class LaunchCalls(Struct, frozen=True):
    """Launching calls of one process, ordered by correlation; the earliest of equal ones first."""

    correlation: Ints
    start_ns: Ints

    @classmethod
    def of(cls, correlation: Ints, start_ns: Ints) -> LaunchCalls:
        order = np.lexsort((start_ns, correlation))
        return cls(correlation[order], start_ns[order])

    def rows(self, correlation: Ints) -> Ints:
        """The call with each correlation; -1 without one."""
        if not len(self.correlation):
            return np.full(len(correlation), -1)
        at = np.searchsorted(self.correlation, correlation)
        row = np.minimum(at, len(self.correlation) - 1)
        return np.where((self.correlation[row] == correlation) & (correlation >= 0), row, -1)


class _Fit(Struct, frozen=True):
    """How well the calls of a process explain the activities of a device."""

    share: float
    distance_ns: float
    process: int
    device: tuple[int, int]


def processes_of(
    pid: Ints,
    device: Ints,
    start_ns: Ints,
    correlation: Ints,
    calls: Mapping[int, LaunchCalls],
    names: Sequence[str],
) -> Ints:
    """The process of each activity, a key of ``calls``.

    Args:
        pid: code of the ``pid`` that each activity bears, [activities]; ``names`` spells it.
        device: its device number.
        calls: by the code of the process that made them.
    """
    processes = np.full(len(pid), NO_PROCESS)
    groups = {
        (int(one), int(other)): np.flatnonzero((pid == one) & (device == other))
        for one in distinct(pid)
        for other in distinct(device[pid == one])
    }
    alike = _named_alike([key[0] for key in groups], list(calls), names)
    fits: list[_Fit] = []
    for key, rows in groups.items():
        if key[0] in alike:
            processes[rows] = alike[key[0]]
        else:
            fits += _fits(key, start_ns[rows], correlation[rows], calls)
    _give_away(fits, groups, processes)
    for rows in groups.values():
        if len(rows) and processes[rows[0]] == NO_PROCESS:
            processes[rows] = _one_by_one(start_ns[rows], correlation[rows], calls)
    return processes


def _named_alike(
    devices: Sequence[int], processes: Sequence[int], names: Sequence[str]
) -> dict[int, int]:
    """Device → process whose names differ in their last number only, if that tells them apart."""
    by_decoration = {_decoration(names[process]): process for process in processes}
    if len(by_decoration) < len(processes):
        return {}
    decorated = {device: by_decoration.get(_decoration(names[device])) for device in devices}
    return {device: process for device, process in decorated.items() if process is not None}


def _decoration(name: str) -> str:
    return re.sub(r"-?\d+$", "", name)


def _fits(
    key: tuple[int, int], start_ns: Ints, correlation: Ints, calls: Mapping[int, LaunchCalls]
) -> list[_Fit]:
    """How well each process explains a device, of the activities that any process explains."""
    rows = {process: each.rows(correlation) for process, each in calls.items()}
    explained = np.any([row >= 0 for row in rows.values()], axis=0)
    fits = []
    for process in sorted(rows):
        row = rows[process]
        known = row >= 0
        if known.any():
            distance = np.abs(start_ns[known] - calls[process].start_ns[row[known]])
            share = float(known.sum() / explained.sum())
            fits.append(_Fit(share, float(np.median(distance)), process, key))
    shares = [fit.share for fit in fits]
    if len(fits) > 1 and max(shares) < _MOST and sum(shares) <= _TWICE:
        return []
    return [fit for fit in fits if fit.share >= _ENOUGH]


def _give_away(fits: list[_Fit], groups: Mapping[tuple[int, int], Ints], processes: Ints) -> None:
    """Give each device to a process, the best fit first; a process has a device number once."""
    taken: set[tuple[int, int]] = set()
    given: set[tuple[int, int]] = set()
    for fit in sorted(fits, key=lambda fit: (fit.distance_ns, -fit.share, fit.process)):
        if fit.device in given or (fit.process, fit.device[1]) in taken:
            continue
        processes[groups[fit.device]] = fit.process
        given.add(fit.device)
        taken.add((fit.process, fit.device[1]))


def _one_by_one(start_ns: Ints, correlation: Ints, calls: Mapping[int, LaunchCalls]) -> Ints:
    """Each activity by the nearest of its calls; the others with most of them."""
    processes = np.full(len(correlation), NO_PROCESS)
    nearest = np.full(len(correlation), np.iinfo(np.int64).max)
    for process, each in calls.items():
        row = each.rows(correlation)
        if not len(each.start_ns):
            continue
        distance = np.where(row >= 0, np.abs(start_ns - each.start_ns[row]), nearest)
        processes = np.where(distance < nearest, process, processes)
        nearest = np.minimum(distance, nearest)
    known = processes[processes >= 0]
    most = int(np.bincount(known).argmax()) if len(known) else next(iter(calls), NO_PROCESS)
    return np.where(processes >= 0, processes, most)
