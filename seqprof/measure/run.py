"""How one model is measured.

::

    build | warm-up | find timesteps | count | pairs: bare probed, probed bare … | sweep … | profile
          |<----------------------------- the NVML sampler polls ----------------------------->|

After the pairs comes a sweep of prefix lengths, for models without marked timesteps, and on
accelerators the dwell. The profiled pass is last: a profiler may leave later steps slower.

What goes wrong in the middle (out of memory, a kernel error, Ctrl-C) ends the measuring and is
recorded; what was measured until then is kept.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from seqprof.errors import EXIT_BAD_INPUT, EXIT_CANNOT_MEASURE, EXIT_INTERRUPTED, SeqprofError
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize, timer_resolution_s
from seqprof.instruments.loops import Loop, find_loops, named_loop
from seqprof.measure.account import account
from seqprof.measure.compiling import compile_model, try_compile
from seqprof.measure.depth_law import depth_at_lengths
from seqprof.measure.device import choose_device, describe_device, describe_environment
from seqprof.measure.dwell import dwells, first_line, worth_dwelling
from seqprof.measure.outcome import Outcome, Progress
from seqprof.measure.pairs import StepTimer, fastest_step_s, settled_garbage
from seqprof.measure.profiled import Profiler
from seqprof.measure.sweep import ROUNDS, prefix_lengths, sweep
from seqprof.recording import (
    DepthLaw,
    DeviceSamples,
    Dwell,
    HostLoad,
    Incident,
    PhaseAccount,
    PrefixPoint,
    ProfiledPass,
    Recording,
    Step,
    StepKind,
    TimestepOperations,
    Trial,
    Workload,
)
from seqprof.samplers.device import DeviceSampler
from seqprof.samplers.host import HostMeter
from seqprof.samplers.replay import DriverFacts
from seqprof.spec import Spec
from seqprof.workloads.build import Built, SequenceModel, build
from seqprof.workloads.step import TrainingStep

#: Pairs that are taken however long they last, and measurements that every timestep should get.
MINIMUM_PAIRS, SAMPLES_PER_TIMESTEP = 3, 5


@dataclass(slots=True)
class _Findings:
    """What a trial has measured so far."""

    warmup: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    accounts: tuple[PhaseAccount, ...] = ()
    operations: tuple[TimestepOperations, ...] = ()
    loops: list[Loop] = field(default_factory=list)
    timesteps_reason: str | None = None
    mark_cost_s: float | None = None
    sweep: list[PrefixPoint] = field(default_factory=list)
    sweep_reason: str | None = None
    dwells: list[Dwell] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    depth: DepthLaw | None = None
    profile: ProfiledPass | None = None
    exit_code: int = 0


def measure_run(
    spec: Spec, folder: Path, command: str, progress: Progress, trace: Path | None = None
) -> Outcome:
    """Measure one model's training.

    Args:
        spec: what to train and how to measure it.
        folder: where the spec's relative paths and targets are looked for.
        command: what the user typed, for the recording.
        progress: told the stages.
        trace: where to keep the trace of the profiled pass; None if nowhere.

    Raises:
        SeqprofError: nothing could be measured.
    """
    if spec.measure.threads is not None:
        torch.set_num_threads(spec.measure.threads)
    device = choose_device(spec.measure.device)
    progress.stage("building the model", None)
    torch.manual_seed(spec.train.seed)
    conductor = _Conductor(spec, folder, device, progress, trace)
    trial, exit_code = conductor.measure()
    environment = replace(
        describe_environment(conductor.described, folder),
        driver=conductor.driver.driver,
        nvml=conductor.driver.nvml,
    )
    recording = Recording(
        kind="run",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        spec=spec.model_dump(mode="json"),
        seed=spec.train.seed,
        environment=environment,
        trials=(trial,),
        timer_resolution_s=timer_resolution_s(),
    )
    return Outcome(recording, exit_code, conductor.trace_kept)


class _Conductor:
    """Runs the stages of one trial, in order, and keeps what they found."""

    def __init__(
        self,
        spec: Spec,
        folder: Path,
        device: torch.device,
        progress: Progress,
        trace: Path | None,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._device = device
        self._progress = progress
        self._found = _Findings()
        self.described = describe_device(device)
        self.driver = DriverFacts()
        self.trace_kept = False
        self._compiled = False
        self._built = self._build()
        self._step = TrainingStep(self._built, spec, device)
        self._origin_ns = host_clock_ns()
        self._timer = StepTimer(self._step, device, (), self._origin_ns)
        self._profiler = Profiler(spec.measure, device, trace)
        self._found.profile = self._profiler.absent("the run ended before it")

    def _build(self) -> Built:
        built = build(self._spec, self._folder)
        if self._spec.train.compile:
            self._progress.stage("trying torch.compile", None)
            incident = try_compile(self._spec, self._folder, self._device)
            self._compiled = incident is None
            if incident is not None:
                self._found.incidents.append(incident)
        with self._explained(nothing_measured=True):
            built.model.to(self._device).train()
        if self._compiled:
            compile_model(built, self._spec)
        return built

    def measure(self) -> tuple[Trial, int]:
        """Run all stages; returns the trial and the exit code."""
        sampler = DeviceSampler(
            self.described, self._spec.measure.sample_interval_s, self._origin_ns
        )
        host = HostMeter()
        with sampler:
            host.start()
            try:
                self._run_stages(sampler)
            except KeyboardInterrupt:
                self._incident("interrupted", "Ctrl-C")
                self._found.exit_code = EXIT_INTERRUPTED
            load = host.stop()
            samples, incidents, self.driver = sampler.finish()
        self._found.incidents.extend(incidents)
        self._found.incidents.extend(self._profiler.keep(samples, self._origin_ns))
        self.trace_kept = self._profiler.kept
        self._profiler.close()
        if not any(step.kind == "bare" for step in self._found.steps):
            raise self._nothing_measured()
        self._derive_depth()
        return self._trial(samples, load), self._found.exit_code

    def _run_stages(self, sampler: DeviceSampler) -> None:
        with self._explained(nothing_measured=True):
            self._warm_up()
            self._find_loops()
            self._count()
        stages: tuple[Callable[[], None], ...] = (
            self._take_pairs,
            self._take_sweep,
            lambda: self._take_dwells(sampler),
            self._take_profile,
        )
        with settled_garbage():
            for stage in stages:
                with self._explained(nothing_measured=False):
                    stage()
                if self._found.exit_code:
                    return

    def _warm_up(self) -> None:
        count = self._spec.measure.warmup
        self._progress.stage("warming up", count)
        for done in range(count):
            synchronize(self._device)
            start = host_clock_ns()
            self._step.run()
            synchronize(self._device)
            self._found.warmup.append((host_clock_ns() - start) * NS)
            self._progress.advance(done + 1)

    def _find_loops(self) -> None:
        wanted = self._spec.measure.timesteps
        found = self._found
        if not wanted.enabled:
            found.timesteps_reason = "switched off (measure.timesteps.enabled)"
        elif self._compiled:
            found.timesteps_reason = "the model is compiled: its timesteps are no longer calls"
        elif wanted.module is not None:
            found.loops = [named_loop(self._step.model, wanted.module, self._forward)]
        elif self._built.facts.timestep_modules:
            modules = dict(self._step.model.named_modules())
            found.loops = [
                Loop(m.path, modules[m.path], self._step.timesteps, m.reverse)
                for m in self._built.facts.timestep_modules
            ]
        else:
            self._search_loops()
        self._found.loops = [self._over_the_sequence(loop) for loop in self._found.loops]

    def _over_the_sequence(self, loop: Loop) -> Loop:
        """With truncated BPTT a forward was one chunk; the loop goes on over all of them."""
        if self._chunk == self._step.timesteps or loop.calls == self._step.timesteps:
            return loop
        if loop.calls != self._chunk:
            raise SeqprofError(
                f"measure.timesteps.module: '{loop.path}' is called {loop.calls} times in a chunk "
                f"of {self._chunk} timesteps",
                hint="with train.bptt.truncate it must be called once per timestep",
            )
        return replace(loop, calls=self._step.timesteps)

    @property
    def _chunk(self) -> int:
        """Timesteps that one forward covers."""
        return min(self._spec.train.bptt.truncate or self._step.timesteps, self._step.timesteps)

    def _search_loops(self) -> None:
        # A second length tells a loop over timesteps from a coincidence.
        lengths = [self._chunk, self._chunk // 2 + 1] if self._chunk > 3 else [self._chunk]
        self._found.loops = find_loops(self._step.model, self._forward, lengths)
        if not self._found.loops:
            self._found.timesteps_reason = (
                "no submodule is called once per timestep: one call handles the whole sequence"
            )

    def _forward(self, timesteps: int | None = None) -> None:
        self._step.forward(self._step.next_batch().prefix(timesteps or self._chunk))

    def _count(self) -> None:
        self._progress.stage("counting operations", None)
        found = self._found
        self._timer = StepTimer(self._step, self._device, found.loops, self._origin_ns)
        found.accounts, found.operations = account(
            self._step, self._device, found.loops, self._timer.calls, self._compiled
        )
        synchronize(self._device)

    def _take_pairs(self) -> None:
        measure, found, timer = self._spec.measure, self._found, self._timer
        plan = None
        if found.loops:
            wanted = measure.timesteps
            plan, found.mark_cost_s = timer.plan(
                fastest_step_s(found.warmup), wanted.stride, wanted.budget
            )
        self._progress.stage("measuring steps", measure.pairs)
        start, pair = host_clock_ns(), 0
        while self._more_pairs(pair, (host_clock_ns() - start) * NS, probed=plan is not None):
            stride = plan.stride if plan else None
            kinds: tuple[StepKind, ...] = (
                ("bare", "probed") if pair % 2 == 0 else ("probed", "bare")
            )
            taken = {
                kind: timer.run(kind, pair, stride if kind == "probed" else None)
                for kind in kinds
                if kind == "bare" or plan
            }
            found.steps.extend(taken.values())
            if plan:
                plan.judge(taken["bare"].wall_s, taken["probed"].wall_s)
            pair += 1
            self._progress.advance(min(pair, measure.pairs))

    def _more_pairs(self, taken: int, seconds: float, probed: bool) -> bool:
        measure = self._spec.measure
        if taken < min(MINIMUM_PAIRS, measure.pairs):
            return True
        if seconds >= measure.max_s:
            return False
        if taken < measure.pairs:
            return True
        return probed and self._timer.table.smallest_sample() < SAMPLES_PER_TIMESTEP

    def _take_sweep(self) -> None:
        if self._found.loops:
            self._found.sweep_reason = "not needed: the timesteps were measured"
        elif not self._spec.measure.sweep:
            self._found.sweep_reason = "switched off (measure.sweep)"
        elif self._compiled:
            self._found.sweep_reason = "the model is compiled: every length would compile anew"
        else:
            lengths = prefix_lengths(self._step.timesteps)
            self._progress.stage("deriving the marginal cost", ROUNDS * len(lengths))
            try:
                self._run_sweep()
            except RuntimeError as error:  # a model that takes one length only
                self._incident("sweep_failed", f"{user_frame(error)}{first_line(error)}")
                self._found.sweep_reason = first_line(error)

    def _run_sweep(self) -> None:
        points = sweep(
            self._step,
            self._device,
            self._timer.events,
            self._spec.train.seed,
            limit_s=self._spec.measure.max_s / 2,
        )
        for point in points:
            self._found.sweep.append(point)
            self._progress.advance(len(self._found.sweep))

    def _take_dwells(self, sampler: DeviceSampler) -> None:
        if not self.described.is_accelerator or not worth_dwelling(sampler):
            return
        self._progress.stage("dwelling on each phase for NVML", 3)
        for dwell in dwells(self._step, self._device, sampler, self._spec.measure, self._origin_ns):
            self._found.dwells.append(dwell)
            self._progress.advance(len(self._found.dwells))

    def _take_profile(self) -> None:
        if self._profiler.why_not() is None:
            self._progress.stage("profiling steps", None)
        counted = [account.operations for account in self._found.accounts]
        operations = sum(count for count in counted if count is not None)
        self._found.profile, incidents = self._profiler.take(
            self._step, self._found.loops, operations or None
        )
        self._found.incidents.extend(incidents)

    def _derive_depth(self) -> None:
        """Last, and beside no sampler: it needs no device, and measures nothing."""
        if self._found.exit_code:
            return
        timesteps = self._step.timesteps
        if self._compiled:
            reason = "the model is compiled: its operations are merged into others"
            self._found.depth = DepthLaw(timesteps=timesteps, reason=reason)
            return
        self._progress.stage("deriving the sequential depth", None)
        try:
            [self._found.depth] = depth_at_lengths(
                self._step.model,
                self._built.loss,
                self._spec.train,
                self._step.next_batch(),
                [timesteps],
            )
        except KeyboardInterrupt:  # everything that is measured is there already
            self._found.depth = DepthLaw(timesteps=timesteps, reason="interrupted")

    def _incident(self, kind: str, detail: str) -> None:
        at = (host_clock_ns() - self._origin_ns) * NS
        self._found.incidents.append(Incident(kind=kind, detail=detail, at_s=at))

    @contextmanager
    def _explained(self, nothing_measured: bool) -> Iterator[None]:
        """Turn a fault of the training code into an incident, or into the error that ends all."""
        try:
            yield
        except SeqprofError:
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._fault("out_of_memory", error, EXIT_CANNOT_MEASURE, nothing_measured)
        except Exception as error:
            self._fault("step_failed", error, EXIT_BAD_INPUT, nothing_measured)

    def _fault(self, kind: str, error: Exception, exit_code: int, nothing_measured: bool) -> None:
        where = user_frame(error)
        detail = f"{where}{type(error).__name__}: {first_line(error)}"
        if nothing_measured:
            raise SeqprofError(
                f"the model cannot be trained on {self._device}: {detail}",
                hint=_HINTS[kind],
                exit_code=exit_code,
            ) from error
        self._incident(kind, detail)
        self._found.exit_code = EXIT_CANNOT_MEASURE

    def _nothing_measured(self) -> SeqprofError:
        last = self._found.incidents[-1] if self._found.incidents else None
        reason = f": {last.detail}" if last else ""
        return SeqprofError(
            f"ended before a single step was measured{reason}",
            exit_code=self._found.exit_code or EXIT_CANNOT_MEASURE,
        )

    def _trial(self, samples: DeviceSamples, load: HostLoad) -> Trial:
        found = self._found
        return Trial(
            workload=describe_workload(self._spec, self._built, self._step, self._compiled),
            warmup_wall_s=tuple(found.warmup),
            steps=tuple(found.steps),
            clock_origin_ns=self._origin_ns,
            cpu_clock=self._timer.phases.cpu_clock.kind,
            latencies=self._timer.table.latencies(),
            latency_maps=self._timer.table.maps(),
            timesteps_reason=found.timesteps_reason,
            mark_cost_s=found.mark_cost_s,
            timestep_operations=found.operations,
            accounts=found.accounts,
            sweep=tuple(found.sweep),
            sweep_reason=found.sweep_reason,
            dwells=tuple(found.dwells),
            samples=samples,
            host=load,
            depth=found.depth,
            profile=found.profile,
            incidents=(*found.incidents, *slow_paths(self._built.model), *self._timer.incidents),
        )


def slow_paths(model: torch.nn.Module) -> tuple[Incident, ...]:
    """Tell what the model's library says of a slower implementation that it took."""
    told = model.body.slow_paths() if isinstance(model, SequenceModel) else ()
    return (Incident(kind="slow_path", detail=" ".join(told)),) if told else ()


def describe_workload(spec: Spec, built: Built, step: TrainingStep, compiled: bool) -> Workload:
    """Say what is trained, as it was built."""
    facts = built.facts
    return Workload(
        model=spec.model.name or spec.model.target or "",
        family=facts.family,
        execution=facts.execution,
        parameters=facts.parameters,
        data=built.data.facts.description,
        batch_size=step.batch_size,
        timesteps=step.timesteps,
        precision=spec.train.precision,
        optimizer=spec.train.optimizer,
        micro_batches=spec.train.accumulate,
        truncate=spec.train.bptt.truncate,
        checkpointed=spec.train.checkpoint,
        compiled=compiled,
        flops_per_step=facts.flops_per_step,
        flops_reason=facts.flops_reason,
    )


_HINTS = {
    "out_of_memory": "lower data.batch_size or data.seq_len, or set train.checkpoint: true "
    "(built-in models)",
    "step_failed": "the same batch and model fail without seqprof too; see the line named",
}


def user_frame(error: BaseException) -> str:
    """``file.py:12: `` of the innermost frame outside seqprof and installed libraries, or ''."""
    own = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        outside = not frame.filename.startswith((own, "<"))
        if outside and "site-packages" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""
