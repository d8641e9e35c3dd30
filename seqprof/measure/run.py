"""How `run` conducts one bench, in this process.

::

    assemble, warm-up, find loops, count | pairs … | sweep | dwell | profile | depth
                 |<------------- the device sampler polls ------------->|

After the pairs comes a sweep of prefix lengths, for models without marked timesteps, and on
accelerators the dwell. The profiled pass is last: a profiler may leave later steps slower.

What goes wrong in the middle (out of memory, a kernel error, Ctrl-C) ends the measuring and is
recorded; what was measured until then is kept.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from seqprof.errors import (
    EXIT_CANNOT_MEASURE,
    EXIT_DEVICE_FAILED,
    SeqprofError,
    exit_code_of,
)
from seqprof.instruments.clocks import NS, host_clock_ns
from seqprof.measure.device import choose_device, describe_device
from seqprof.measure.faults import explain
from seqprof.measure.outcome import Outcome, Progress
from seqprof.measure.trial.assembly import assemble
from seqprof.measure.trial.bench import Bench
from seqprof.measure.trial.draft import Draft
from seqprof.measure.trial.dwell import worth_dwelling
from seqprof.measure.trial.pairs import settled_garbage
from seqprof.measure.trial.process_state import process_state
from seqprof.measure.trial.profiled import Profiler
from seqprof.measure.workers.messages import DwellPhase, Dwelt
from seqprof.recording import Recording
from seqprof.samplers.device import DeviceSampler
from seqprof.samplers.host import HostMeter
from seqprof.samplers.replay import DriverFacts
from seqprof.spec import Spec

#: Measurements that every timestep should get.
SAMPLES_PER_TIMESTEP = 5
_DWELLS: tuple[DwellPhase, ...] = ("forward", "backward", "step")


def measure_run(
    spec: Spec,
    folder: Path,
    command: str,
    progress: Progress,
    trace: Path | None = None,
) -> Outcome:
    """Measure one model's training.

    Args:
        spec: what to train and how to measure it.
        folder: where the spec's relative paths and targets are looked for.
        command: what the user typed, for the recording.
        progress: told the stages, and offered the recording so far between steps.
        trace: where to keep the trace of the profiled pass; None if nowhere.

    Raises:
        SeqprofError: nothing could be measured.
    """
    conductor = RunConductor(spec, folder, command, progress, trace)
    before = process_state()
    conductor.measure()
    conductor.note_changes(before)
    recording = conductor.recording()
    if recording is None:
        raise conductor.nothing_measured()
    return Outcome(recording, conductor.exit_code, conductor.trace_kept)


@contextmanager
def ctrl_c_noted() -> Iterator[list[int]]:
    """Let no Ctrl-C end what brings measurements home; yields those that came meanwhile."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class RunConductor:
    """Runs the stages of one trial, in order, and keeps what they found.

    Arguments as :func:`measure_run`; without ``with_depth`` the last stage is left out, and without
    ``with_dwells`` that for NVML.
    """

    def __init__(
        self,
        spec: Spec,
        folder: Path,
        command: str,
        progress: Progress,
        trace: Path | None,
        *,
        with_depth: bool = True,
        with_dwells: bool = True,
    ) -> None:
        if isinstance(spec.measure.threads, int):
            torch.set_num_threads(spec.measure.threads)
        self._spec, self._folder, self._command = spec, folder, command
        self._device = choose_device(spec.measure.device)
        self._described = describe_device(self._device)
        self._progress = progress
        self._origin_ns = host_clock_ns()
        self._draft = Draft()
        self._driver = DriverFacts()
        self._profiler = Profiler(spec.measure, self._device, trace)
        self._draft.profile = self._profiler.absent("the run ended before it")
        self._with_depth, self._with_dwells = with_depth, with_dwells
        self.exit_code = 0
        self.trace_kept = False

    # The recording so far ------------------------------------------------------------------

    def recording(self) -> Recording | None:
        """Return what has been measured until now; None before the first bare step."""
        made = self._draft.prepared
        if made is None or not any(step.kind == "bare" for step in self._draft.steps):
            return None
        trial = replace(self._draft.trial(made.workload), clock_origin_ns=self._origin_ns)
        driver = self._driver
        return Recording(
            kind="run",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self._command,
            spec=self._spec.model_dump(mode="json"),
            seed=self._spec.train.seed,
            environment=replace(made.environment, driver=driver.driver, monitor=driver.monitor),
            trials=(trial,),
            timer_resolution_s=made.timer_resolution_s,
        )

    def nothing_measured(self) -> SeqprofError:
        """Word an end before the first bare step."""
        last = self._draft.incidents[-1] if self._draft.incidents else None
        reason = f": {last.detail}" if last else ""
        hint = self._draft.failure.hint if self._draft.failure else None
        return SeqprofError(
            f"ended before a single step was measured{reason}",
            hint,
            exit_code=self.exit_code or EXIT_CANNOT_MEASURE,
        )

    # Stages --------------------------------------------------------------------------------

    def measure(self) -> None:
        """Run all stages.

        Raises:
            SeqprofError: the model cannot be built or trained at all.
        """
        bench = self._prepared()
        sampler = DeviceSampler(
            self._described, self._spec.measure.sample_interval_s, self._origin_ns
        )
        host = HostMeter()
        with sampler:
            host.start()
            try:
                self._take_all(bench, sampler)
            except KeyboardInterrupt as end:
                self._interrupted(end)
            with ctrl_c_noted() as again:
                self._draft.timesteps = bench.timesteps()
                self._draft.loads.append(host.stop())
                samples, incidents, self._driver = sampler.finish()
                self._draft.samples = samples
                self._draft.incidents += incidents
                self._draft.incidents += self._profiler.keep(samples, self._origin_ns)
                self.trace_kept = self._profiler.trace_kept
                self._profiler.close()
        if again and not self.exit_code:
            self._interrupted(KeyboardInterrupt())
        if self._with_depth and not self.exit_code and self._draft.steps:
            self._derive_depth(bench)

    def _prepared(self) -> Bench:
        self._progress.stage("building the model", None)
        torch.manual_seed(self._spec.train.seed)
        try:
            made = assemble(self._spec, self._folder, self._device, self._progress)
            bench = Bench(made, self._spec, self._folder, self._origin_ns, self._progress)
            self._draft.add_prepared(bench.prepare())
        except (SeqprofError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a model may call sys.exit
            failure = explain(error)
            raise SeqprofError(
                f"the model cannot be trained on {self._device}: {failure.detail}",
                hint=failure.hint,
                exit_code=failure.exit_code,
            ) from error
        return bench

    def _take_all(self, bench: Bench, sampler: DeviceSampler) -> None:
        stages: tuple[Callable[[], None], ...] = (
            lambda: self._take_pairs(bench),
            lambda: self._draft.add_sweep(bench.sweep(self._spec.measure.max_s / 2)),
            lambda: self._take_dwells(bench, sampler),
            lambda: self._take_profile(bench),
        )
        with settled_garbage():
            for stage in stages:
                try:
                    stage()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # a model may call sys.exit
                    failure = explain(error)
                    self._draft.fail(failure, self._now_s)
                    lost = failure.kind == "device_failed"
                    self.exit_code = EXIT_DEVICE_FAILED if lost else EXIT_CANNOT_MEASURE
                    return
                self._progress.keep(self.recording, at_once=True)

    def _take_pairs(self, bench: Bench) -> None:
        bench.plan_marks()
        wanted = self._spec.measure.pairs
        self._progress.stage("measuring steps", wanted)
        start, pair = host_clock_ns(), 0
        while self._more_pairs(pair, (host_clock_ns() - start) * NS, bench.smallest_sample):
            for taken in bench.take_round(pair):
                self._draft.add_steps(taken)
                if not pair:  # later what is kept would leave the caches cold for the next step
                    self._progress.keep(self.recording)
            pair += 1
            self._progress.advance(min(pair, wanted))
            self._progress.keep(self.recording)
        self._draft.timesteps = bench.timesteps()

    def _more_pairs(self, taken: int, seconds: float, smallest_sample: int | None) -> bool:
        measure = self._spec.measure
        if not taken:
            return True
        if seconds >= measure.max_s:
            return False
        if taken < measure.pairs:
            return True
        return smallest_sample is not None and smallest_sample < SAMPLES_PER_TIMESTEP

    def _take_dwells(self, bench: Bench, sampler: DeviceSampler) -> None:
        wanted = self._with_dwells and self._described.is_accelerator
        if not wanted or not worth_dwelling(sampler):
            return
        self._progress.stage("dwelling on each phase for NVML", len(_DWELLS))
        for phase in _DWELLS:  # one by one, so that a device that is lost costs one
            self._draft.add_dwells(Dwelt(dwells=bench.dwell(sampler, (phase,))))

    def _take_profile(self, bench: Bench) -> None:
        if self._profiler.why_not() is None:
            self._progress.stage("profiling steps", None)
        made = self._draft.prepared
        counted = [account.operations for account in made.accounts] if made else []
        operations = sum(count for count in counted if count is not None)
        self._draft.profile, incidents = bench.profile(self._profiler, operations or None)
        self._draft.incidents += incidents

    def _derive_depth(self, bench: Bench) -> None:
        """Last, and beside no sampler: it needs no device, and measures nothing."""
        self._progress.stage("deriving the sequential depth", None)
        try:
            [self._draft.depth] = bench.depths([bench.step.timesteps])
        except KeyboardInterrupt as end:  # everything that is measured is there already
            self._interrupted(end)

    def _interrupted(self, end: KeyboardInterrupt) -> None:
        self._draft.add_incident("interrupted", str(end) or "Ctrl-C", self._now_s)
        self.exit_code = exit_code_of(end)

    def note_changes(self, before: dict[str, str]) -> None:
        """Record what the model changed of the process that it shares with the measuring."""
        if self.exit_code >= 128:  # an interrupt may have ended a `with no_grad()` in its exit
            return
        changes = [
            f"{name}: {before[name]} → {now}"
            for name, now in process_state().items()
            if before[name] != now
        ]
        if changes:
            self._draft.add_incident("process_changed", "; ".join(changes), None)

    @property
    def _now_s(self) -> float:
        return (host_clock_ns() - self._origin_ns) * NS
