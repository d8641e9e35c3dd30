"""What a profiler saw, as columns: the structure that every timeline analysis takes.

All times are integer nanoseconds on the profiler's clock. An array's length is the number of rows
of its table; ``-1`` stands for "not recorded" in columns that cannot otherwise be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: ``launch_ns`` of an activity whose launch was not recorded.
NO_LAUNCH = -1

# Kinds of device activity.
KERNEL, COPY, SET = 0, 1, 2

# Kinds of host event.
OPERATOR, RUNTIME, ANNOTATION, MODULE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Activities:
    """What ran on devices, one row per kernel, copy or memset, ordered by start.

    Ties are broken by end, launch, stream and name, so that the order does not depend on the order
    in the file. ``launch`` is the row of the launching call in :class:`HostEvents`, ``launch_ns``
    its start.
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

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, keep: Bools) -> Activities:
        """The rows for which ``keep`` holds, in the same order."""
        return Activities(*(getattr(self, column)[keep] for column in self.__slots__))


@dataclass(frozen=True, slots=True)
class HostEvents:
    """What happened on the host: operators, runtime calls, annotations, calls of ``nn.Module``.

    ``sequence`` is autograd's sequence number, which ties a backward operator to its forward one.
    """

    start_ns: Ints
    end_ns: Ints
    thread: Ints
    kind: Ints
    name: Ints
    sequence: Ints

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, keep: Bools) -> HostEvents:
        """The rows for which ``keep`` holds, in the same order."""
        return HostEvents(*(getattr(self, column)[keep] for column in self.__slots__))


@dataclass(frozen=True, slots=True)
class Defects:
    """What was wrong with the source, counted while it was read."""

    truncated: bool = False
    damaged_events: int = 0
    negative_durations: int = 0
    untimed_events: int = 0
    missing_correlations: int = 0
    repaired_text: int = 0
    #: Warnings that the profiler itself left in the file, such as dropped events.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """One trace: activities, host events, and the strings that their ``name`` columns index."""

    source: str
    events: int
    names: tuple[str, ...]
    activities: Activities
    host: HostEvents
    device_names: Mapping[int, str] = field(default_factory=dict)
    rank: int | None = None
    defects: Defects = field(default_factory=Defects)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def name_codes(self, pattern: str) -> Ints:
        """Codes of the names in which the regular expression ``pattern`` is found."""
        import re

        found = re.compile(pattern).search
        codes = [code for code, name in enumerate(self.names) if found(name)]
        return np.array(codes, dtype=np.int64)
