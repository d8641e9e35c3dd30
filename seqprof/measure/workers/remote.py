"""The parent's end of the workers' pipes. Without torch: only the workers import it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic

import seqprof
from seqprof.errors import SeqprofError
from seqprof.measure.endings import die_with_parent
from seqprof.measure.faults import Failure, FailureKind
from seqprof.measure.workers.messages import Answer, Request

#: Workers that were told to leave get this long before they are ended.
PATIENCE_S = 2.0


class WorkerDiedError(Exception):
    """The process of a worker is no more: it ended on its own, or gave no answer and was ended."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind


class WorkerGroup:
    """Several :class:`seqprof.measure.workers.worker.Worker`, forked from one process.

    Args:
        folders: for each worker, where the candidate's paths and targets are looked for.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(self, folders: Sequence[Path], origin_ns: int) -> None:
        self._deaths, deaths = Pipe()
        pipes = [Pipe() for _ in folders]
        numbers = [deaths.fileno(), *(child.fileno() for _, child in pipes)]
        package = str(Path(seqprof.__file__).parents[1])
        known = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "seqprof.measure.workers.worker", *map(str, numbers)],
            pass_fds=numbers,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, known]))},
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a model prints must not get into the report
            start_new_session=True,  # Ctrl-C is the parent's to handle
            preexec_fn=die_with_parent,  # before the imports, which take seconds
        )
        for connection in (deaths, *(child for _, child in pipes)):
            connection.close()
        self._codes: dict[int, int] = {}
        self.workers = [
            RemoteWorker(self, index, connection) for index, (connection, _) in enumerate(pipes)
        ]
        for worker, folder in zip(self.workers, folders, strict=True):
            worker.send((folder, origin_ns))

    def death_of(self, index: int) -> WorkerDiedError:
        """Wait for the end of a worker and word it."""
        with suppress(EOFError, ConnectionResetError):
            while index not in self._codes:
                ended, code = self._deaths.recv()
                self._codes[ended] = code
        code = self._codes.get(index, self._process.poll() or 0)
        if code == -signal.SIGKILL:
            # What the system kills is nearly always the process that took the memory.
            return WorkerDiedError(
                "out_of_memory", "the process was ended by SIGKILL, as when memory is short"
            )
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return WorkerDiedError("killed", f"the process ended {how}")

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self.workers:
            worker.connection.close()
        for end in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, end)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=PATIENCE_S)
        self._process.wait()
        self._deaths.close()


class RemoteWorker:
    """One worker of a group."""

    def __init__(self, group: WorkerGroup, index: int, connection: Connection) -> None:
        self.group, self._index, self.connection = group, index, connection
        self._process: int | None = None

    def await_ready(self, within_s: float) -> None:
        """Wait for its imports.

        Raises:
            WorkerDiedError: as :meth:`finish`.
        """
        self._process = int(self.receive(within_s))

    def start(self, request: Request[Answer]) -> Pending[Answer]:
        """Let the worker begin; the result waits for what comes of it."""
        self.send(request)
        return Pending(self)

    def ask(self, within_s: float, request: Request[Answer]) -> Answer | Failure:
        """Start and wait; raises as :meth:`Pending.finish` does."""
        return self.start(request).finish(within_s)

    def receive(self, within_s: float) -> Any:
        """Return the next message, or word the end of the process."""
        try:
            if not self.connection.poll(within_s):
                self._end()
                raise WorkerDiedError("hung", f"no answer within {within_s:.0f} s; it was ended")
            return self.connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self.group.death_of(self._index) from error

    def _end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)

    def send(self, message: Any) -> None:
        """Send without waiting."""
        with suppress(BrokenPipeError):  # its end is found by the next receive
            self.connection.send(message)


class Pending(Generic[Answer]):
    """An answer that a worker has been asked for."""

    def __init__(self, worker: RemoteWorker) -> None:
        self._worker = worker

    def finish(self, within_s: float) -> Answer | Failure:
        """Return the answer, which must come in time: a worker that hangs is ended.

        Raises:
            SeqprofError: the candidate cannot be built or trained as the spec says.
            WorkerDiedError: there is no worker any more.
        """
        answer: Answer | Failure | SeqprofError = self._worker.receive(within_s)
        if isinstance(answer, SeqprofError):
            raise answer
        return answer
