"""The parent's end of a worker's pipe. Without torch: only the workers import it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import seqprof
from seqprof.errors import SeqprofError

#: A worker that was told to leave gets this long before it is ended.
PATIENCE_S = 2.0


class WorkerDiedError(Exception):
    """The process of a worker ended on its own, as when the system ran out of memory."""


class RemoteWorker:
    """A :class:`seqprof.measure.worker.Worker` in a process of its own.

    Args:
        folder: where the candidate's paths and targets are looked for.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(self, folder: Path, origin_ns: int) -> None:
        self._connection, child = Pipe()
        package = str(Path(seqprof.__file__).parents[1])
        known = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "seqprof.measure.worker", str(child.fileno())],
            pass_fds=[child.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, known]))},
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a model prints must not get into the report
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        child.close()
        self._send((folder, origin_ns))

    def start(self, method: str, *arguments: Any) -> None:
        """Let the worker begin; :meth:`finish` waits for what comes of it."""
        self._send((method, arguments))

    def finish(self) -> Any:
        """Return the answer.

        Raises:
            SeqprofError: the candidate cannot be built or trained as asked.
            WorkerDiedError: there is no worker any more.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise WorkerDiedError(self._end()) from error
        if isinstance(answer, SeqprofError):
            raise answer
        return answer

    def call(self, method: str, *arguments: Any) -> Any:
        """Start and finish; raises as :meth:`finish` does."""
        self.start(method, *arguments)
        return self.finish()

    def _send(self, message: Any) -> None:
        with suppress(BrokenPipeError):  # its end is found by the next receive
            self._connection.send(message)

    def _end(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}"

    def close(self) -> None:
        """End the worker, whatever it is doing."""
        self._connection.close()
        try:
            self._process.wait(timeout=0)
        except subprocess.TimeoutExpired:
            self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def close_all(workers: Iterable[RemoteWorker]) -> None:
    """End all workers."""
    for worker in workers:
        worker.close()
