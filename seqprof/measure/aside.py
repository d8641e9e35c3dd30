"""A part of a session that runs a user's model, in a child process: what dies is that part alone.

Without torch, as :mod:`seqprof.measure.endings`: the parent must not have imported it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any, Protocol

from seqprof.errors import EndedError, SeqprofError
from seqprof.measure.endings import Parent, can_fork, forked
from seqprof.measure.faults import in_words
from seqprof.measure.outcome import Progress
from seqprof.recording import Incident, Recording


class Teller(Progress, Protocol):
    """A progress that also takes parts of a result as they come."""

    def hand(self, part: Any) -> object: ...


@dataclass(frozen=True, slots=True)
class Aside:
    """What became of a job.

    Attributes:
        value: what it returned; None where it did not end.
        reason: why it did not end; None where it did.
        hung: it took too long.
        kept: the last recording that it offered before it died.
        ended: the signal that was asking for the end; 0 where none was.
    """

    value: Any = None
    reason: str | None = None
    hung: bool = False
    offered: Recording | None = None
    ended: int = 0


def do_aside(
    job: Callable[[Teller], Any],
    progress: Progress,
    within_s: float,
    part: Callable[[Any], float | None],
    meanwhile: Callable[[], object] | None = None,
) -> Aside:
    """Do a job in a child process, or in this one where torch is imported already.

    Args:
        job: told to a child by forking; what it returns and hands over is pickled.
        within_s: a child that takes longer is ended.
        part: told what the job hands over, as it comes; a number that it returns is what the child
            may take from then on.
        meanwhile: done on a thread while a child works; no child may be forked after it.

    Raises:
        SeqprofError: the job raised it.
    """
    if not can_fork():
        return _do_here(job, progress, part)
    with forked(job) as (child, connection, notes):
        if meanwhile is not None:
            Thread(target=meanwhile, daemon=True).start()
        parent = Parent(child, connection, notes, progress, within_s, within_s=within_s, part=part)
        final, status = parent.wait()
        if final is not None and final[0] == "refused" and not parent.signalled:
            raise SeqprofError(final[1], final[2], final[3])
        if final is not None and final[0] == "done":
            return Aside(value=final[1], ended=parent.signalled)
        kind, detail, code = parent.worded(final, status)
        ended = code - 128 if kind == "interrupted" else 0
        offered = parent.kept_with(Incident(kind=kind, detail=detail))
        return Aside(reason=detail, hung=kind == "hung", offered=offered, ended=ended)


@dataclass(slots=True)
class _Here:
    progress: Progress
    hand: Callable[[Any], float | None]

    def stage(self, name: str, total: float | None) -> None:
        self.progress.stage(name, total)

    def advance(self, done: float) -> None:
        self.progress.advance(done)

    def keep(self, recording: Callable[[], Recording | None], *, at_once: bool = False) -> None:
        """Nothing can be lost that could be kept."""


def _do_here(
    job: Callable[[Teller], Any], progress: Progress, part: Callable[[Any], float | None]
) -> Aside:
    try:
        return Aside(value=job(_Here(progress, part)))
    except EndedError as error:
        return Aside(reason=str(error), ended=error.number)
    except (SeqprofError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a model that calls sys.exit
        return Aside(reason=in_words(error))
