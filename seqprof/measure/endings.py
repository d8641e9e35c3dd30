"""Whatever ends a run, what it measured is there: the conducting is done in a child process.

::

    parent   reads the spec, resolves where results go | waits, shows progress | reports, writes
    child                                     fork ──> | imports torch, measures |
                                                         each stage and now and then: what there is

User code runs in the child only. It may call ``os._exit``, crash, close streams or change folder:
the parent has the last recording that was sent, and words the end. The child hands over a recording
after the first pair, and then as often as keeps the share of time that takes below 5 %, never
inside a timed step.

A signal to the parent (Ctrl-C, a scheduler's SIGTERM, a terminal's SIGHUP) is passed on; the child
ends the stage and brings home what it has. A child that shows no sign of life is ended, and says
where it hangs: faulthandler writes its stack when asked. It dies with the parent (prctl).

Without torch: the parent never imports it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from seqprof.ending_signals import PATIENCE_S, heeded, install, note_asked
from seqprof.errors import EXIT_CANNOT_MEASURE, EndedError, SeqprofError
from seqprof.measure.faults import in_words, innermost_line
from seqprof.measure.outcome import WARMING_UP, Outcome, Progress
from seqprof.recording import Incident, Recording

#: A child that was told to end gets PATIENCE_S. One that shows no sign of life this many times as
#: long as it ever took, or this long at least, is ended: while it measures, and before (building
#: and compiling take their time).
HANG_FACTOR, SHORTEST_HANG_S, STARTING_S = 20.0, 60.0, 900.0
#: A recording on its way takes at most this share of the time.
SHARE_OF_TIME = 0.05
_PR_SET_PDEATHSIG = 1

#: What is conducted: it tells its progress, and offers that what it has.
Job = Callable[[Progress], Outcome]


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, however that ends."""
    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)


def conduct(job: Job, progress: Progress, limit_s: float, first_step_s: float) -> Outcome:
    """Run ``job`` in a child process and return what it measured, however it ends.

    In this process instead where torch is imported already: a process with torch's threads cannot
    be forked.

    Args:
        job: told to a child by forking: it need not be picklable.
        progress: of the parent.
        limit_s: how long the measuring may take on its own account (measure.max_s).
        first_step_s: how long one step may take while nothing is measured yet.

    Raises:
        SeqprofError: nothing could be measured.
        EndedError: a signal came before there was anything.
    """
    if not can_fork():
        return job(progress)
    with forked(job) as (child, connection, notes):
        return Parent(child, connection, notes, progress, limit_s, first_step_s).outcome()


def can_fork() -> bool:
    """Whether a child can be forked: not from a process with torch's threads."""
    return "torch" not in sys.modules and hasattr(os, "fork")


@contextmanager
def forked(job: Callable[[Sender], Any]) -> Iterator[tuple[int, Connection, int]]:
    """Do ``job`` in a child; yields its process id, its messages, and where it writes its stack."""
    ours, theirs = Pipe(duplex=False)
    notes = os.memfd_create("seqprof-stack") if hasattr(os, "memfd_create") else -1
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        ours.close()
        _serve(job, theirs, notes)
    theirs.close()
    try:
        yield child, ours, notes
    finally:
        ours.close()
        if notes >= 0:
            os.close(notes)


def leave_if_copied(owner: int) -> None:
    """End this process if it is not ``owner``: the model forked, and came back to us twice."""
    if os.getpid() != owner:
        os._exit(0)


# The child ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sender:
    """The child's end: tells progress, and hands over what there is."""

    connection: Connection
    owner: int = field(default_factory=os.getpid)
    free_at: float = 0.0

    def send(self, kind: str, *parts: Any) -> None:
        leave_if_copied(self.owner)
        with suppress(BrokenPipeError):
            self.connection.send((kind, *parts))

    def stage(self, name: str, total: float | None) -> None:
        self.send("stage", name, total)

    def advance(self, done: float) -> None:
        self.send("advance", done)

    def hand(self, part: Any) -> None:
        """Hand over a part of the result, at once."""
        self.send("part", part)

    def keep(self, recording: Callable[[], Recording | None], *, at_once: bool = False) -> None:
        """Hand over a recording, if enough time has passed since the last, or at once."""
        began = _clock()
        if began < self.free_at and not at_once:
            return
        current = recording()
        if current is not None:
            self.send("kept", current)
            now = _clock()
            self.free_at = now + (now - began) / SHARE_OF_TIME


_clock = time.monotonic


def _serve(job: Callable[[Sender], Any], connection: Connection, notes: int) -> NoReturn:
    """Do the job and leave; nothing of the parent's runs here any more."""
    code = 1
    try:
        die_with_parent()
        _raise_on_signals()
        if notes >= 0:
            faulthandler.enable(notes, all_threads=False)
            faulthandler.register(signal.SIGUSR1, notes, all_threads=False)
        sys.stdout.flush()
        os.dup2(2, 1)  # what a model prints must not get into the report
        sender = Sender(connection)
        try:
            sender.send("done", job(sender))
        except SeqprofError as error:
            sender.send("refused", error.message, error.hint, error.exit_code)
        except EndedError as error:
            sender.send("ended", error.number)
        except KeyboardInterrupt:
            sender.send("ended", signal.SIGINT)
        except BaseException as error:
            sender.send("failed", in_words(error))
        code = 0
    finally:
        os._exit(code)


def _raise_on_signals() -> None:
    last = [0.0]

    def handle(number: int, _: object) -> None:
        now = _clock()
        again, last[0] = now - last[0] < 1.0, now
        if not again:  # the terminal and the parent both told
            raise EndedError(number)

    install(handle)


# The parent -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Parent:
    """Waits for the child and knows the last that it handed over.

    Attributes:
        first_step_s: how long one step may take while nothing is measured yet.
        within_s: after which the child is ended, whatever it does; None if it may take its time.
        part: told what the child hands over part by part; a number that it returns is what the
            child may take from then on.
    """

    child: int
    connection: Connection
    notes: int
    progress: Progress
    limit_s: float
    first_step_s: float = STARTING_S
    within_s: float | None = None
    part: Callable[[Any], float | None] | None = None
    warming: bool = False
    stage: str = ""
    offered: Recording | None = None
    signalled: int = 0
    asked_at: float = 0.0
    shown: bool = False
    began_at: float = field(default_factory=_clock)
    heard_at: float = field(default_factory=_clock)
    longest_s: float = 0.0

    def outcome(self) -> Outcome:
        final, status = self.wait()
        if final is not None and final[0] == "done":
            outcome: Outcome = final[1]
            if not self.signalled:
                return outcome
            return replace(outcome, exit_code=128 + self.signalled)
        if final is not None and final[0] == "refused" and self.offered is None:
            raise SeqprofError(final[1], final[2], final[3])
        return self._rest(final, status)

    def wait(self) -> tuple[tuple[Any, ...] | None, int]:
        """Return the child's last message, None where there was none, and its exit code."""
        with self._signals_passed_on():
            return self._listen(), self._reap()

    def _listen(self) -> tuple[Any, ...] | None:
        """Return the child's last message; None where it ended without one."""
        while True:
            self._show_ending()
            if self.connection.poll(0.2):
                try:
                    message = self.connection.recv()
                except (EOFError, OSError):
                    return None
                except Exception:  # cut off in the middle
                    return None
                self._heard()
                if message[0] not in ("stage", "advance", "kept", "part"):
                    return tuple(message)
                self._take(message)
            elif self._overdue():
                return self._end()

    def _show_ending(self) -> None:
        """Say, once, that the signal came: the step that runs is ended first, which may be long."""
        if self.signalled and not self.shown:
            self.shown = True
            self.progress.stage("ending with this step; Ctrl-C again: at once", None)

    def _heard(self) -> None:
        now = _clock()
        self.longest_s = max(self.longest_s, now - self.heard_at)
        self.heard_at = now

    def _take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "kept":
            self.offered = message[1]
        elif message[0] == "part":
            if self.part is not None:
                self._limit(self.part(message[1]))
        elif message[0] == "stage":
            self.stage, self.warming = message[1], message[1] == WARMING_UP
            self.progress.stage(*message[1:])
        else:
            self.progress.advance(*message[1:])

    def _limit(self, within_s: float | None) -> None:
        if within_s is not None:
            self.began_at, self.within_s = _clock(), within_s

    def _overdue(self) -> bool:
        now = _clock()
        if self.signalled:
            return now - self.asked_at > PATIENCE_S
        if self.within_s is not None:
            return now - self.began_at > self.within_s
        if self.offered is None:
            return now - self.heard_at > (self.first_step_s if self.warming else STARTING_S)
        usual = max(SHORTEST_HANG_S, self.limit_s, HANG_FACTOR * self.longest_s)
        return now - self.heard_at > usual

    def _end(self) -> tuple[Any, ...]:
        """End a child that hangs, or whose time is over; the message says where."""
        now = _clock()
        with suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGUSR1)
            time.sleep(0.2)
            os.kill(self.child, signal.SIGKILL)
        if self.within_s is None or self.signalled:
            how = f"no sign of life for {now - self.heard_at:.0f} s{self._where(' in ')}"
        elif self.offered is None:
            how = f"the model had not ended after {now - self.began_at:.0f} s{self._where(' in ')}"
        else:  # the model trains: what is left is ours
            how = f"after {now - self.began_at:.0f} s, at: {self.stage}"
            return ("cut_short", f"{how}; what was measured by then is shown")
        return ("hung", f"{how}; it was ended")

    def _reap(self) -> int:
        deadline = _clock() + PATIENCE_S
        while _clock() < deadline:
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.child, signal.SIGKILL)  # a thread of the model keeps it
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])

    def _rest(self, final: tuple[Any, ...] | None, status: int) -> Outcome:
        """Return what there is, with the incident that ended it.

        Raises:
            SeqprofError: there is nothing.
        """
        kind, detail, code = self.worded(final, status)
        offered = self.kept_with(Incident(kind=kind, detail=detail))
        if offered is None:
            raise SeqprofError(
                f"ended before a single step was measured: {detail}",
                "a model must not end the process that trains it" if kind == "killed" else None,
                exit_code=code,
            )
        return Outcome(offered, code)

    def kept_with(self, incident: Incident) -> Recording | None:
        """Return the last recording with what ended the child; None where there is none."""
        if self.offered is None:
            return None
        trial = self.offered.trials[0]
        trials = (replace(trial, incidents=(*trial.incidents, incident)),)
        return replace(self.offered, trials=trials)

    def worded(self, final: tuple[Any, ...] | None, status: int) -> tuple[str, str, int]:
        """Return the incident's kind and detail, and the exit code."""
        if self.signalled:
            return "interrupted", signal.Signals(self.signalled).name, 128 + self.signalled
        if final is not None:
            if final[0] == "ended":
                return "interrupted", signal.Signals(final[1]).name, 128 + final[1]
            if final[0] in ("hung", "cut_short"):
                return final[0], final[1], EXIT_CANNOT_MEASURE
            return "step_failed", final[1], EXIT_CANNOT_MEASURE
        if status == -signal.SIGKILL:
            return (
                "killed",
                "the process was ended by SIGKILL, as when memory is short",
                EXIT_CANNOT_MEASURE,
            )
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit code {status}"
        return "killed", f"the process ended {how}{self._where(' in ')}", EXIT_CANNOT_MEASURE

    def _where(self, before: str) -> str:
        """Return the innermost line of the stack that the child wrote, or ''."""
        if self.notes < 0:
            return ""
        text = os.pread(self.notes, 1 << 16, 0).decode("utf-8", "replace")
        line = innermost_line(text)
        return f"{before}{line}" if line else ""

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        def handle(number: int, _: object) -> None:
            if not self.signalled:
                self.asked_at = _clock()
            elif _clock() - self.asked_at > 1.0:  # asked twice: at once
                self.asked_at = -PATIENCE_S
            self.signalled = number
            note_asked()  # what follows until all is written is held back
            with suppress(ProcessLookupError):
                os.kill(self.child, number)

        try:
            before = {number: signal.signal(number, handle) for number in heeded()}
        except ValueError:  # not the main thread: signals come elsewhere
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
