"""The parent's side of the device sampler: starts it, reads its file, ends it.

Nothing that NVML does can raise into or hold up the process that measures: NVML is only ever called
in the sampler's own process, which is killed when it does not end by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import seqprof
from seqprof.recording import Device, DeviceSamples, Incident
from seqprof.samplers.replay import DriverFacts, SampleLog
from seqprof.samplers.vendors import sampler_module

#: How long to wait for the first reading, so that starting the sampler burdens no timed step. A
#: driver without persistence mode, or with eight GPUs, takes seconds to initialize.
START_S = 10.0
#: How long the sampler may take to end by itself (it gives a hanging call 0.6 s), and to be killed.
END_S = 1.2
KILL_S = 0.3
_LOOK_S = 0.01

# Not `-m`: the current folder may hold files named like the standard library's modules. Where
# seqprof lies is appended, so that what it shares a folder with hides nothing either.
_RUN_MODULE = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of seqprof's modules in a process of its own."""
    folder = str(Path(seqprof.__file__).resolve().parent.parent)
    return [sys.executable, "-P", "-c", _RUN_MODULE, folder, module, *arguments]


class DeviceSampler:
    """Samples one device beside the steps, from ``with`` to :meth:`finish`.

    The device is matched by its UUID alone, never by index or kind. On the CPU, and where there is
    no UUID, nothing is started and :meth:`finish` gives the reason.

    Args:
        device: as the recording describes it.
        interval_s: how often to poll.
        origin_ns: ``time.monotonic_ns()`` (on Linux the same as ``time.perf_counter_ns()``) of the
            instant that counts as 0 s.
    """

    def __init__(self, device: Device, interval_s: float, origin_ns: int) -> None:
        self._device = device
        self._interval_s = interval_s
        self._log = SampleLog(origin_ns)
        self._reason = _why_not(device)
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._killed = False
        self._result: tuple[DeviceSamples, tuple[Incident, ...], DriverFacts] | None = None

    def __enter__(self) -> Self:
        if self._reason is None:
            try:
                self._start()
            except OSError as error:
                self._reason = f"the sampler process could not be started: {error}"
            self._await_beginning()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish()

    def _start(self) -> None:
        assert self._device.uuid is not None
        # Files without a name: nothing is left behind, however this process ends.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (until finish)
        self._errors = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        command = module_command(
            sampler_module(self._device.kind),
            self._device.uuid,
            str(self._interval_s),
            f"/dev/fd/{self._file.fileno()}",
            str(os.getpid()),
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            pass_fds=[self._file.fileno()],
        )

    def _await_beginning(self) -> None:
        deadline = time.monotonic() + START_S
        while self._is_running() and not self._log.began and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            self._read()

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _read(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._log.feed(self._file.read())

    def fresh_samples(self, metric: str, start_s: float, end_s: float) -> int:
        """How many samples of ``metric``, windows included, lie inside [start, end] so far.

        Meant for the time between repetitions of a dwell, where it takes well under a millisecond.
        The first call in a while takes in all that has come since (some 10 µs a record), so make
        one before the dwell begins.
        """
        self._read()
        return self._log.fresh_samples(metric, start_s, end_s)

    def why_absent(self, metric: str) -> str | None:
        """Why no more samples of ``metric`` will come; None as long as they may."""
        self._read()
        if self._reason is not None:
            return self._reason
        if self._log.stopped is not None:
            return self._log.stopped.detail
        if not self._is_running():
            return "the sampler process has ended"
        return self._log.absent().get(metric)

    def finish(self) -> tuple[DeviceSamples, tuple[Incident, ...], DriverFacts]:
        """End the sampler and return all it read. Never raises; takes 1.5 s at most."""
        if self._result is None:
            errors = self._stop()
            self._result = (
                self._samples(errors),
                self._incidents(errors),
                self._log.driver_facts(),
            )
        return self._result

    def _stop(self) -> str:
        """End the process, read what is left and close all; returns what it said last."""
        errors = ""
        with contextlib.suppress(OSError):
            self._end_process()
        self._read()
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
            if self._errors is not None:
                self._errors.seek(0)
                errors = self._errors.read().decode(errors="replace").strip()
                self._errors.close()
        self._file = self._errors = None
        return errors.splitlines()[-1] if errors else ""

    def _end_process(self) -> None:
        if self._process is None:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._killed = True
            self._process.kill()
            # Not even that ends a process that is stuck inside the driver; it is left behind.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_S)

    def _samples(self, errors: str) -> DeviceSamples:
        own = {os.getpid()} | ({self._process.pid} if self._process else set())
        reason, stopped = self._reason, self._log.stopped
        if stopped and self._log.facts is None and self._device.kind != "cuda":
            reason = f"{stopped.detail} (NVML knows NVIDIA's devices; this is {self._device.kind})"
        elif errors and not stopped:
            reason = f"the sampler process failed: {errors}"
        return self._log.samples(own, reason)

    def _incidents(self, errors: str) -> tuple[Incident, ...]:
        incidents = self._log.incidents()
        if self._process is None:
            if self._device.uuid is None or self._reason is None:
                return incidents
            return (*incidents, Incident(kind="nvml_unavailable", detail=self._reason))
        if self._log.ended or self._log.stopped or any(i.kind == "nvml_hang" for i in incidents):
            return incidents
        if self._killed:
            detail = "the sampler process did not answer any more and was killed"
            return (*incidents, Incident(kind="nvml_hang", detail=detail))
        said = f": {errors}" if errors else ""
        detail = f"the sampler process ended by itself (status {self._process.returncode}){said}"
        return (*incidents, Incident(kind="nvml_error", detail=detail))


def _why_not(device: Device) -> str | None:
    if not device.is_accelerator:
        return "no accelerator"
    if device.uuid is None:
        return f"the UUID of this {device.kind} device is not known, so NVML cannot be asked for it"
    return None
