"""The kinds of events that the agent records, and how an event is packed.

Standard library only: the agent imports this inside the script's process.

A record is three 64-bit words. Of an event: host clock (ns), a code, CPU time of the process (ns, 0
where it was not read). Of a span that was stored whole: host clock at its beginning, the code of
that with ``SPAN`` set, host clock at its end. The code holds the kind (8 bits), flags (8), the
thread's number (8) and a key (40 bits) that says of what: of a module, an optimizer, a loader.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

WORDS = 3
#: Bit of a kind: the record is a whole span, its third word when it ended.
SPAN = 1 << 7
#: Iterations of the agent that are held against each other.
ROUND = 4
_FLAGS, _THREAD, _KEY = 8, 16, 24


class Kind(IntEnum):
    """What happened. A kind ending in ``IN`` is closed by the next number, its ``OUT``."""

    FETCH_IN = 2
    FETCH_OUT = 3
    FORWARD_IN = 4
    FORWARD_OUT = 5
    BACKWARD_IN = 6
    BACKWARD_OUT = 7
    OPTIMIZER_IN = 8
    OPTIMIZER_OUT = 9
    SCALER_IN = 10
    SCALER_OUT = 11
    ZERO_GRAD_IN = 12
    ZERO_GRAD_OUT = 13
    CRITERION_IN = 14
    CRITERION_OUT = 15
    #: Autocast is made or entered; a GradScaler scales a loss.
    AUTOCAST_IN = 16
    AUTOCAST_OUT = 17
    SCALE_IN = 18
    SCALE_OUT = 19
    #: What a root returned timestep by timestep is put together.
    JOIN_IN = 20
    JOIN_OUT = 21
    #: No pairs: the model was switched to training or evaluation; an iteration began; the sizes
    #: of the forwards from here on; the window ended; the program said that a step ended.
    MODE = 32
    ITERATION = 34
    SHAPE = 36
    WINDOW = 38
    STEP = 39
    SYNCHRONIZE_IN = 40
    SYNCHRONIZE_OUT = 41


class Flag(IntFlag):
    """What else is known of an event; which flags a kind has is said beside it."""

    GRAD = 1  # FORWARD_IN: gradients were recorded
    TRAINING = 2  # FORWARD_IN, MODE: the module was in training mode
    EXHAUSTED = 1  # FETCH_OUT: there was no further batch
    FAILED = 4  # any OUT: left by an exception
    UPDATE = 1  # SCALER_IN: update(), which follows step()
    UNSCALE = 2  # SCALER_IN: unscale_()
    SKIPPED = 8  # SCALER_OUT of step(): the optimizer was not stepped
    FUNCTIONAL = 1  # BACKWARD_IN: autograd.grad
    PROBED = 1  # ITERATION
    WARMUP = 2  # ITERATION
    PROFILED = 4  # ITERATION: under torch.profiler, after the measured ones
    METERED = 8  # ITERATION: CPU time is read
    OPEN = 1  # WINDOW: it begins; without, it has ended


def pack(kind: int, flags: int = 0, thread: int = 0, key: int = 0) -> int:
    """Return the code of an event."""
    return kind | flags << _FLAGS | thread << _THREAD | key << _KEY


def unpack(code: int) -> tuple[int, int, int, int]:
    """Return (kind, flags, thread, key) of a code."""
    return code & 0xFF, code >> _FLAGS & 0xFF, code >> _THREAD & 0xFF, code >> _KEY


def is_pair(kind: int) -> bool:
    """Whether ``kind`` belongs to an ``IN``/``OUT`` pair."""
    return kind < Kind.MODE or kind >= Kind.SYNCHRONIZE_IN
