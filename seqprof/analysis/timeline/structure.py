"""What a profiler saw, as columns: the structure that every timeline analysis takes.

All times are integer nanoseconds on the profiler's clock. An array's length is the number of rows
of its table; ``-1`` stands for "not recorded" in columns that cannot otherwise be negative.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: ``launch_ns`` of an activity whose launch was not recorded.
NO_LAUNCH = -1
#: ``device`` of an activity of which the source does not say where it ran.
NO_DEVICE = -1
#: Of a name that no regular expression has been tried on.
_UNKNOWN = -1

# Kinds of device activity.
KERNEL, COPY, SET = 0, 1, 2

# Kinds of host event.
OPERATOR, RUNTIME, ANNOTATION, MODULE = 0, 1, 2, 3


class Activities(Struct, frozen=True):
    """What ran on devices, one row per kernel, copy or memset, ordered by start.

    Ties are broken by end, launch, stream and name, so that the order does not depend on the order
    in the file. ``launch`` is the row of the launching call in :class:`HostEvents`, ``launch_ns``
    its start. ``device`` may be ``NO_DEVICE``. ``group`` (a name) and ``seq`` are those of a
    collective, where recorded (an empty name, -1).
    """

    device: Ints
    stream: Ints
    start_ns: Ints
    end_ns: Ints
    kind: Ints
    name: Ints
    launch: Ints
    launch_ns: Ints
    bytes: Ints
    group: Ints
    seq: Ints

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, keep: Bools) -> Activities:
        """The rows for which ``keep`` holds, in the same order."""
        return self if keep.all() else self.at(np.flatnonzero(keep))

    @classmethod
    def none(cls) -> Activities:
        """A table without rows."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in cls.__struct_fields__))

    def at(self, rows: Ints | slice) -> Activities:
        """The given rows, in the given order."""
        return Activities(*(column[rows] for column in self.columns()))

    def columns(self) -> tuple[Ints, ...]:
        """All columns, in the order of the fields."""
        return tuple(getattr(self, column) for column in self.__struct_fields__)


class HostEvents(Struct, frozen=True):
    """What happened on the host: operators, runtime calls, annotations, calls of ``nn.Module``.

    ``sequence`` is autograd's sequence number, which ties a backward operator to its forward one.
    ``index`` is which slice ``aten::select`` took, ``batch`` how many rows were multiplied by a
    matrix, where inputs were recorded.
    """

    start_ns: Ints
    end_ns: Ints
    thread: Ints
    kind: Ints
    name: Ints
    sequence: Ints
    index: Ints
    batch: Ints

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, keep: Bools) -> HostEvents:
        """The rows for which ``keep`` holds, in the same order."""
        return self.at(np.flatnonzero(keep))

    @classmethod
    def none(cls) -> HostEvents:
        """A table without rows."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in cls.__struct_fields__))

    def at(self, rows: Ints | slice) -> HostEvents:
        """The given rows, in the given order."""
        return HostEvents(*(getattr(self, column)[rows] for column in self.__struct_fields__))


class Defects(Struct, frozen=True):
    """What was wrong with the source, counted while it was read."""

    truncated: bool = False
    damaged_events: int = 0
    negative_durations: int = 0
    untimed_events: int = 0
    missing_correlations: int = 0
    repaired_text: bool = False
    #: Warnings that the profiler itself left in the file, such as dropped events.
    warnings: tuple[str, ...] = ()


class Timeline(Struct, frozen=True):
    """One trace: activities, host events, and the strings that their ``name`` columns index.

    Of a file with several processes each is a timeline of its own, one of ``parts``, and the whole
    has no rows.
    """

    source: str
    events: int
    names: tuple[str, ...]
    activities: Activities
    host: HostEvents
    device_names: Mapping[int, str] = field(default_factory=dict)
    rank: int | None = None
    defects: Defects = field(default_factory=Defects)
    process: str | None = None
    parts: tuple[Timeline, ...] = ()
    #: Whether the host waited for the device at the end of each step: what lies between two steps
    #: is then nobody's idle time.
    synchronized: bool = False
    #: T of each forward in the profiler's steps, by their names, where whoever recorded the trace
    #: knows it, and that a longer sequence launches more operators.
    timesteps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: Whether calls of Python were recorded, as those of modules are.
    has_stacks: bool = False
    #: Of each name the first that differs in the number behind a # only (as ``ProfilerStep#7``);
    #: no pattern tells these apart. None: each is its own.
    first_alike: Ints | None = None
    #: By regular expression, of which names it is known that it finds them or not.
    searched: dict[str, Ints] = field(default_factory=dict)

    def named(self, codes: Ints, pattern: str) -> Bools:
        """Which of the name ``codes`` are of names that the regular expression finds."""
        result = self.searched.get(pattern)
        if result is None:
            result = self.searched[pattern] = np.full(len(self.names), _UNKNOWN)
        # Only names that occur: those of kernels are long, and most questions are about the host.
        occurs = np.bincount(codes, minlength=len(result)) > 0
        search = re.compile(pattern).search
        new = np.flatnonzero(occurs & (result == _UNKNOWN))
        first = self.first_alike[new] if self.first_alike is not None else new
        for code in np.flatnonzero(np.bincount(first)).tolist():
            result[code] = search(self.names[code]) is not None
        result[new] = result[first]
        matching: Bools = result[codes] == 1
        return matching
