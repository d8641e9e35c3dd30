"""The sampler process: ``python -m seqprof.samplers.nvml IDENTITY INTERVAL FILE PARENT``.

It polls one device, appends what it reads to a file and ends when its standard input does, so it
cannot outlive the program that started it. It never imports torch.

    parent                          sampler, main thread         sampler, supervisor thread
    ------                          --------------------         --------------------------
    start, keep stdin open   --->   find device, facts           a call runs for > 2 s?  "hung"
    read the file now and then <--  poll, wait, poll, wait …     is stdin closed, parent gone?
    close stdin              --->   processes, "end", exit       main thread not back: exit anyway
    kill, if it is still there

Whatever a call returns, the sampler writes a record that says so; it never ends without a word
unless it is killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

from seqprof.samplers.nvml_calls import (
    Nvml,
    NvmlCallError,
    NvmlUnavailableError,
    find_device,
    initialize,
)
from seqprof.samplers.place import SampledDevice, place_of
from seqprof.samplers.quantities import SampledQuantity, quantities
from seqprof.samplers.records import DeviceFacts, End, Hung, Processes, Stopped, Writer

#: A call that takes longer than this is said to hang.
HANG_S = 2.0
#: At the end, a call may take this long before the process goes without it.
LAST_CALL_S = 0.6
_LOOK_S = 0.1
EXIT_HUNG = 3


class Sampler:
    """Polls one device until it is told to stop."""

    def __init__(self, identity: str, interval_s: float, writer: Writer) -> None:
        self._identity = identity
        self._interval_s = interval_s
        self._writer = writer
        self.stop = threading.Event()
        self.nvml: Nvml | None = None

    def run(self) -> None:
        """Sample until ``stop`` is set; never raises for what NVML does."""
        try:
            self._sample()
        except NvmlUnavailableError as error:
            self._end_early(error.kind, error.detail, error.remedy)
        except NvmlCallError as failure:
            self._end_early(failure.kind, str(failure), failure.remedy)
        except Exception as error:  # a fault of ours must be told as well, not seem like silence
            self._end_early("nvml_error", f"the sampler failed: {error!r}", None)
        else:
            self._writer.write(End(time.monotonic_ns()))

    def _end_early(self, kind: str, detail: str, remedy: str | None) -> None:
        self._writer.write(Stopped(time.monotonic_ns(), kind, detail, remedy))

    def _sample(self) -> None:
        self.nvml = nvml = Nvml()
        initialize(nvml)
        device = find_device(nvml, self._identity)
        place = place_of(nvml, device)
        self._writer.write(_facts(nvml, place))
        self._write_processes(nvml, place)
        pending = quantities(nvml, place)
        for share in _dither():
            began_ns = time.monotonic_ns()
            self._poll(pending)
            took_s = (time.monotonic_ns() - began_ns) / 1e9
            if self.stop.wait(max(0.0, share * self._interval_s - took_s)):
                break
        self._poll(pending)  # samples that the driver buffered since
        self._write_processes(nvml, place)

    def _poll(self, pending: list[SampledQuantity]) -> None:
        for quantity in pending:
            for record in quantity.poll():
                self._writer.write(record)

    def _write_processes(self, nvml: Nvml, place: SampledDevice) -> None:
        """Takes milliseconds in the driver, so never while steps are timed."""
        if place.shared:
            return  # those of all instances
        running = nvml.optional("nvmlDeviceGetComputeRunningProcesses", place.device)
        if running is not None:
            pids = [int(process.pid) for process in running]
            self._writer.write(Processes(time.monotonic_ns(), pids))


def _dither() -> Iterator[float]:
    """Shares of the interval, 0.8 to 1.2, evenly spread.

    Polls in step with the driver's own period would always see its newest sample at the same age,
    and the offset between the clocks (see ``replay.py``) would be wrong by that age.
    """
    phase = 0.0
    while True:
        phase = (phase + 0.618033988749895) % 1.0
        yield 0.8 + 0.4 * phase


def _facts(nvml: Nvml, place: SampledDevice) -> DeviceFacts:
    return DeviceFacts(
        at_ns=time.monotonic_ns(),
        driver=nvml.optional("nvmlSystemGetDriverVersion"),
        nvml=nvml.optional("nvmlSystemGetNVMLVersion"),
        name=nvml.optional("nvmlDeviceGetName", place.device),
        uuid=nvml.optional("nvmlDeviceGetUUID", place.device),
        mig=place.mig,
    )


def supervise(sampler: Sampler, writer: Writer, parent: int) -> None:
    """Watch standard input, the parent and the running call; runs in a thread of its own.

    The parent is watched too because children that it forked keep its end of the pipe open.
    """
    reported: tuple[str, int] | None = None
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], _LOOK_S)
        if readable and not os.read(0, 4096):
            break
        running = sampler.nvml.running if sampler.nvml else None
        if running and running != reported and _seconds_since(running[1]) > HANG_S:
            _write_hung(writer, running)
            reported = running
    sampler.stop.set()
    _see_off(sampler, writer, reported)


def _see_off(sampler: Sampler, writer: Writer, reported: tuple[str, int] | None) -> None:
    """Wait for the main thread, which ends the process, but not for a call that hangs."""
    while True:
        time.sleep(_LOOK_S)
        running = sampler.nvml.running if sampler.nvml else None
        if running and _seconds_since(running[1]) > LAST_CALL_S:
            if running != reported:
                _write_hung(writer, running)
            os._exit(EXIT_HUNG)


def _write_hung(writer: Writer, running: tuple[str, int]) -> None:
    call, began_ns = running
    writer.write(Hung(began_ns, call, _seconds_since(began_ns)))


def _seconds_since(began_ns: int) -> float:
    return (time.monotonic_ns() - began_ns) / 1e9


def main() -> None:
    """Run the sampler as the arguments say: device, interval in seconds, file, parent's pid."""
    identity, interval_s, path, parent = sys.argv[1:5]
    # Ctrl-C goes to the whole terminal; the parent decides when sampling ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = Writer(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    sampler = Sampler(identity, float(interval_s), writer)
    watching = threading.Thread(
        target=supervise, args=(sampler, writer, int(parent)), daemon=True, name="supervisor"
    )
    watching.start()
    sampler.run()


if __name__ == "__main__":
    main()
