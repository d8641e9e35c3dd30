"""Signals of a process that stands before another one.

Ctrl-C on a terminal goes to the whole foreground group: the script has it already, and must not get
it twice. ``kill PID`` of seqprof alone is meant for the script and has to be passed on. A signal
does not say to whom it was sent, so a second process of the same group (the witness) listens, too:
what it receives went to the group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: What is passed on; the others end seqprof as they would, or stop it with the script.
PASSED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
#: How long a signal may take from one process of a group to the next.
_GRACE_S = 0.2
_PR_SET_PDEATHSIG = 1
_SI_KERNEL = 128


class Witness:
    """A process of our group that says which signals it receives."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _listen(self._read, write, parent)
        os.close(write)
        self._heard: list[int] = []

    def heard(self, number: int) -> bool:
        """Whether signal ``number`` came to the group; waits a moment for it."""
        while number not in self._heard:
            ready, _, _ = select.select([self._read], [], [], _GRACE_S)
            data = os.read(self._read, 16) if ready else b""
            if not data:
                return False
            self._heard += data
        self._heard.remove(number)
        return True

    def close(self) -> None:
        """End it."""
        os.close(self._read)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _listen(read: int, write: int, parent: int) -> None:
    """What the witness does until it is killed; never returns."""
    try:
        os.close(read)
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        while os.getppid() == parent:
            received = signal.sigtimedwait(PASSED, 5.0)
            if received is not None:
                os.write(write, bytes([received.si_signo]))
    finally:
        os._exit(0)


@contextmanager
def blocked() -> Iterator[frozenset[int]]:
    """Block what is passed on, so that it can be waited for; gives the mask that was before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED, signal.SIGCHLD})
    try:
        yield frozenset(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def came_from_terminal(received: signal.struct_siginfo) -> bool:
    """Whether the kernel sent it, as it does for the keys of a terminal: to the whole group."""
    return received.si_code == _SI_KERNEL


def ignored() -> frozenset[int]:
    """Signals that were ignored when we were started; the script inherits that, as without us."""
    return frozenset(number for number in PASSED if signal.getsignal(number) == signal.SIG_IGN)
