"""What ran: copies, collectives and their overlap with compute, and kernels by total time."""

from __future__ import annotations

import re

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import among, distinct, groups
from seqprof.analysis.timeline.structure import KERNEL, Activities, Bools, Timeline
from seqprof.analysis.timeline.windows import busy

#: Kernels of collective libraries (NCCL, RCCL, oneCCL).
_COLLECTIVE = r"(?i)^nccl|^rccl|ncclKernel|ncclDevKernel|oneccl|^mscclKernel"
_DIRECTION = r"(?i)(HtoD|DtoH|DtoD|PtoP|HtoH)"


class Transfer(Struct, frozen=True, kw_only=True):
    """Copies in one direction, or memsets; ``overlapped_ns`` ran while a compute kernel did."""

    kind: str
    count: int
    bytes: int
    busy_ns: int
    overlapped_ns: int


class Collective(Struct, frozen=True, kw_only=True):
    """Kernels of one collective; ``exposed_ns`` ran while no compute kernel did."""

    name: str
    count: int
    busy_ns: int
    overlapped_ns: int
    exposed_ns: int


class KernelTotal(Struct, frozen=True, kw_only=True):
    """All runs of one kernel (or operator). ``share`` is of the sum of all durations."""

    name: str
    count: int
    total_ns: int
    median_ns: int
    share: float


def is_collective(timeline: Timeline, activities: Activities) -> Bools:
    """Which activities are kernels of a collective."""
    named = timeline.named(activities.name, _COLLECTIVE)
    collective: Bools = named & (activities.kind == KERNEL)
    return collective


def transfers(timeline: Timeline, activities: Activities) -> tuple[Transfer, ...]:
    """Copies by direction and memsets, the longest first."""
    compute = _compute(timeline, activities)
    groups: dict[str, list[int]] = {}
    for code in distinct(activities.name[activities.kind != KERNEL]):
        groups.setdefault(_kind(timeline.names[code]), []).append(int(code))
    result = []
    for kind, codes in groups.items():
        mine = activities.where(
            (activities.kind != KERNEL) & among(activities.name, np.array(sorted(codes)))
        )
        covered = busy(mine)
        result.append(
            Transfer(
                kind=kind,
                count=len(mine),
                bytes=int(mine.bytes.sum()),
                busy_ns=covered.length,
                overlapped_ns=covered.common(busy(compute)),
            )
        )
    return tuple(sorted(result, key=lambda transfer: (-transfer.busy_ns, transfer.kind)))


def _kind(name: str) -> str:
    direction = re.search(_DIRECTION, name)
    if direction:
        return direction.group(1)
    return "memset" if "memset" in name.lower() else "copy"


def _compute(timeline: Timeline, activities: Activities) -> Activities:
    kernels = (activities.kind == KERNEL) & ~is_collective(timeline, activities)
    return activities.where(kernels)


def collectives(timeline: Timeline, activities: Activities) -> tuple[Collective, ...]:
    """Collectives by kernel, the longest first."""
    compute = busy(_compute(timeline, activities))
    mine = activities.where(is_collective(timeline, activities))
    result = []
    for code in distinct(mine.name):
        kernels = mine.where(mine.name == code)
        covered = busy(kernels)
        overlapped = covered.common(compute)
        result.append(
            Collective(
                name=timeline.names[code],
                count=len(kernels),
                busy_ns=covered.length,
                overlapped_ns=overlapped,
                exposed_ns=covered.length - overlapped,
            )
        )
    return tuple(sorted(result, key=lambda collective: (-collective.busy_ns, collective.name)))


def kernel_totals(timeline: Timeline, activities: Activities) -> tuple[KernelTotal, ...]:
    """Every kernel, copy and memset by name, the greatest total first."""
    duration = activities.end_ns - activities.start_ns
    order = np.lexsort((duration, activities.name))
    _, first, counts = groups(activities.name[order])
    codes = activities.name[order][first]
    if not len(codes):
        return ()
    ordered = duration[order]
    totals = np.add.reduceat(ordered, first)
    medians = ordered[first + (counts - 1) // 2]
    whole = int(totals.sum())
    result = [
        KernelTotal(
            name=timeline.names[code],
            count=int(count),
            total_ns=int(total),
            median_ns=int(median),
            share=int(total) / whole if whole else 0.0,
        )
        for code, count, total, median in zip(codes, counts, totals, medians, strict=True)
    ]
    return tuple(sorted(result, key=lambda kernel: (-kernel.total_ns, kernel.name)))
