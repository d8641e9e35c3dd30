"""One model's trial, whoever conducts it.

::

    assemble | prepare: warm-up, find loops, count | steps, round by round … | sweep | dwell
             | profile | depth

``run`` conducts a bench in its own process, ``compare`` and ``scale`` one in each worker. Stages
answer with plain data (:mod:`seqprof.measure.workers.messages`), which a
:class:`~seqprof.measure.trial.draft.Draft` collects. What raises out of a stage ends the trial;
each probe of the model stands in a guard of its own and costs, where it fails, its own figure
only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from seqprof.analysis.run.natural import varies_enough
from seqprof.errors import SeqprofError
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize, timer_resolution_s
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.memory import release
from seqprof.measure.depth.law import depth_at_lengths
from seqprof.measure.device import describe_device, describe_environment
from seqprof.measure.faults import device_is_lost, kind_of, reason_of
from seqprof.measure.outcome import WARMING_UP, Progress
from seqprof.measure.trial.account import CountedStep, account, with_flops
from seqprof.measure.trial.assembly import Assembled, Replay, describe_workload, unflattened
from seqprof.measure.trial.compiling import compile_facts, forget_compilations
from seqprof.measure.trial.dwell import SampleSource, dwells
from seqprof.measure.trial.guard import Guard, Refusal
from seqprof.measure.trial.loop_search import (
    facts_of,
    is_unrolled,
    search_loops,
    why_no_loop,
)
from seqprof.measure.trial.pairs import StepTimer, StridePlan, per_timestep_s
from seqprof.measure.trial.profiled import Profiler
from seqprof.measure.trial.sweep import ROUNDS, prefix_lengths, sweep
from seqprof.measure.workers.messages import DwellPhase, Prepared, StepsTaken, Swept, TimestepsTaken
from seqprof.recording import (
    CompileFacts,
    DepthLaw,
    Dwell,
    Incident,
    PrefixPoint,
    ProfiledPass,
    Step,
    StepKind,
    Workload,
)
from seqprof.spec import Spec
from seqprof.workloads.step import TrainingStep

#: CPU clocks are read in the last step of every so many rounds.
METERED_EVERY = 2
_COMPILED_DEPTH = "the model is compiled: its operations are merged into others"


class Bench:
    """All stages of one model's trial at one length and batch size.

    Args:
        assembled: the model on its device, and its data.
        spec: what is trained and how it is measured.
        folder: where the spec was found; for the recording.
        origin_ns: host clock that counts as time 0.
        progress: told the stages.
        optimizer: of the same model at another point, to go on with; None for a new one.
    """

    def __init__(
        self,
        assembled: Assembled,
        spec: Spec,
        folder: Path,
        origin_ns: int,
        progress: Progress,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.spec, self.device = spec, assembled.device
        self._assembled, self._folder = assembled, folder
        self._origin_ns, self._progress = origin_ns, progress
        self._replay = Replay(assembled.built.data)
        torch.manual_seed(spec.train.seed)
        built = replace(assembled.built, data=self._replay)
        self.step = TrainingStep(built, spec, assembled.device, optimizer)
        self._loops: list[TimestepLoop] = []
        self._loops_reason: str | None = "not looked for"
        self._sought_in_vain = False
        #: At how many lengths the forward was seen to launch operations for each timestep, where no
        #: module marks them.
        self._unmarked_at = 0
        self._timer = StepTimer(self.step, assembled.device, (), origin_ns)
        self._plan: StridePlan | None = None
        self._mark_cost_s: float | None = None
        #: Of an undisturbed step, for each of its timesteps.
        self._fastest_s = 0.0
        self._compiled: CompileFacts | None = None
        #: T and B of the micro-batches of the steps run to warm up.
        self._sizes: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        #: Kinds of steps whose instruments this model does not bear.
        self._given_up: set[StepKind] = set()
        self._guard = Guard(self.step, origin_ns)
        self._guard.incidents += [*self.step.incidents, *assembled.incidents]

    # What it is ----------------------------------------------------------------------------

    @property
    def workload(self) -> Workload:
        """What is trained."""
        made = self._compiled
        effective = self._assembled.compiled and (made is None or made.graphs > 0)
        return describe_workload(self.spec, self._assembled.built, self.step, effective)

    @property
    def has_loops(self) -> bool:
        """Whether timesteps are marked."""
        return bool(self._loops)

    @property
    def smallest_sample(self) -> int | None:
        """How often the least measured timestep was measured; None where none is marked."""
        return self._timer.table.smallest_sample() if self._plan else None

    def _take_incidents(self) -> tuple[Incident, ...]:
        """Return what has happened since the last time."""
        incidents = (*self._guard.incidents, *self._timer.incidents)
        self._guard.incidents.clear()
        self._timer.incidents.clear()
        return incidents

    # Stages --------------------------------------------------------------------------------

    def prepare(self, timesteps: bool = True) -> Prepared:
        """Warm up, find the loops and count one step.

        Args:
            timesteps: whether loops are looked for, and timesteps marked in steps to come.

        Raises:
            SeqprofError: what the spec asks for does not fit the model.
            Exception: a step without any instrument failed.
        """
        self.step.drop_gradients()  # of a point that failed in the middle
        forget_compilations()
        warmup = self._warm_up()
        if self._assembled.compiled:
            self._compiled = compile_facts()
        if timesteps:
            self._find_loops()
        made = self._count()
        if made.backwards_inside:
            detail = f"{made.backwards_inside} in one step"
            self._guard.incidents.append(Incident(kind="backward_inside", detail=detail))
        if self._sought_in_vain:
            reason = self._loops_reason or ""
            self._loops_reason = why_no_loop(reason, made, self.step.timesteps)
            if is_unrolled(made, self.step.timesteps):
                self._unmarked_at = max(len(made.by_length), 1)
        return Prepared(
            workload=with_flops(self.workload, made, len(self._sizes) == 1),
            environment=describe_environment(describe_device(self.device), self._folder),
            timer_resolution_s=timer_resolution_s(),
            warmup_wall_s=warmup,
            accounts=made.phases,
            operations=made.by_name,
            operations_by_length=made.by_length,
            timestep_operations=made.timesteps,
            timesteps_reason=self._loops_reason,
            loops=facts_of(self._loops, self.step.chunk_lengths(self.step.timesteps)),
            compile=self._compiled,
            unflattened=unflattened(self.step.model) if self.device.type == "cuda" else (),
            incidents=self._take_incidents(),
        )

    def _warm_up(self) -> tuple[float, ...]:
        count = self.spec.measure.warmup
        self._fastest_s = math.inf
        self._progress.stage(WARMING_UP, count)
        walls = []
        for done in range(count):
            walls.append(self.settle())
            self._progress.advance(done + 1)
            if sum(walls) >= self.spec.measure.max_s:
                break
        return tuple(walls)

    def settle(self) -> float:
        """Run one step with nothing in it; returns what it took."""
        self._replay.begin_step()
        synchronize(self.device)
        start = host_clock_ns()
        result = self.step.run()
        synchronize(self.device)
        seconds = (host_clock_ns() - start) * NS
        self._fastest_s = min(self._fastest_s, seconds / sum(result.timesteps))
        self._sizes.add((result.timesteps, result.batch_sizes))
        return seconds

    def _find_loops(self) -> None:
        try:
            varied = len({t for timesteps, _ in self._sizes for t in timesteps}) > 1
            searched = search_loops(self.spec, self._assembled, self.step, varied)
            self._loops, self._loops_reason = searched.loops, searched.reason
            self._sought_in_vain = searched.in_vain
        except SeqprofError:  # the spec names a module that bounds no timesteps
            raise
        except Exception as error:
            if device_is_lost(error):
                raise
            refusal = self._guard.refuse("marks_failed", reason_of(error))
            self._loops_reason = f"looking for the loop failed: {refusal.reason}"
        self.step.drop_gradients()

    def _count(self) -> CountedStep:
        self._progress.stage("counting operations", None)
        self._timer = StepTimer(self.step, self.device, self._loops, self._origin_ns)
        self._replay.begin_step()
        release(self.device)
        compiled = self._assembled.compiled
        made: CountedStep | Refusal = Refusal("not tried")
        for loops in (self._loops, []) if self._loops else ([],):  # marks may be what fails
            made = self._guard.run(
                "counting_failed", partial(account, self.step, self.device, loops, compiled)
            )
            if not isinstance(made, Refusal):
                break
        synchronize(self.device)
        release(self.device)
        return CountedStep() if isinstance(made, Refusal) else made

    def plan_marks(self) -> None:
        """Choose the stride of the marks; without a loop there is nothing to choose."""
        if not self._loops:
            return
        wanted = self.spec.measure.timesteps
        planned = self._guard.run(
            "marks_failed",
            lambda: self._timer.plan(self._fastest_s, wanted.stride, wanted.budget),
        )
        if isinstance(planned, Refusal):
            self._give_marks_up(planned.reason)
        else:
            self._plan, self._mark_cost_s = planned

    def _give_marks_up(self, reason: str) -> None:
        self._plan, self._loops = None, []
        self._loops_reason = reason

    def take_round(self, round_: int) -> Iterator[StepsTaken]:
        """Take one step of each kind, in an order that moves on from round to round.

        Yields each as it is taken: what ends a step in the middle loses none before it.
        """
        kinds: list[StepKind] = ["bare", "bounded", "probed"]
        turn = round_ % len(kinds)
        order = [*kinds[turn:], *kinds[:turn]]
        if round_ % METERED_EVERY == 0:
            order.append("metered")
        taken: dict[StepKind, Step] = {}
        for kind in order:
            step = self._take(kind, round_)
            if step is not None:
                taken[kind] = step
                yield self._steps_taken((step,))
        if self._plan and "probed" in taken:
            self._plan.judge(per_timestep_s(taken["bare"]), per_timestep_s(taken["probed"]))

    def take_visit(self, round_: int, count: int) -> StepsTaken:
        """Take one round's steps beside other candidates: ``count`` bare ones, and of each kind."""
        kinds: list[StepKind] = ["bare"] * count
        kinds += ["bounded", "probed"] * math.ceil(count / 3)
        if round_ % METERED_EVERY == 0:
            kinds.append("metered")
        steps = (self._take(kind, round_) for kind in kinds)
        return self._steps_taken(tuple(step for step in steps if step is not None))

    def _steps_taken(self, steps: tuple[Step, ...]) -> StepsTaken:
        return StepsTaken(
            steps=steps,
            cpu_clock=self._timer.cpu_clock.kind,
            incidents=self._take_incidents(),
        )

    def _take(self, kind: StepKind, round_: int) -> Step | None:
        """Take one step; None where nothing is marked, or the instruments of its kind fail."""
        if (kind == "probed" and self._plan is None) or kind in self._given_up:
            return None
        stride = self._plan.stride if self._plan and kind == "probed" else None
        self._replay.begin_step()
        try:
            return self._timer.run(kind, round_, stride)
        except Exception as error:
            if kind == "bare" or not self._runs_without(error):
                raise
            what = "marks" if kind == "probed" else "clocks at its phases"
            detail = f"a step failed with {what} in it, and not without: {reason_of(error)}"
            self._guard.refuse("marks_failed" if kind == "probed" else "bounds_failed", detail)
            self._given_up.add(kind)
            if kind == "probed":
                self._give_marks_up(detail)
            return None

    def _runs_without(self, error: Exception) -> bool:
        """Whether the same batch runs when nothing of seqprof's is in the step."""
        if device_is_lost(error) or kind_of(error) == "out_of_memory":
            return False
        self._replay.rewind()
        self.step.drop_gradients()
        try:
            self.step.run()
            synchronize(self.device)
        except Exception:
            return False
        return True

    def timesteps(self) -> TimestepsTaken:
        """Return what the marks of the probed steps came to."""
        return TimestepsTaken(
            samples=self._timer.table.samples(),
            mark_cost_s=self._mark_cost_s,
            reason=self._loops_reason,
        )

    def sweep(self, limit_s: float, beside_marks: bool = False) -> Swept:
        """Take prefixes of the sequences, for the marginal cost.

        Args:
            limit_s: no round begins after it.
            beside_marks: also where timesteps are marked, which tells the cost of one as well.
        """
        reason = self._why_no_sweep(beside_marks)
        if reason is not None:
            return Swept(reason=reason)
        total = ROUNDS * len(prefix_lengths(self.step, self.step.timesteps))
        self._progress.stage("deriving the marginal cost", total)
        points: list[PrefixPoint] = []
        made = self._guard.run("sweep_failed", lambda: self._sweep_into(points, limit_s))
        return Swept(
            points=tuple(points),
            reason=made.reason if isinstance(made, Refusal) else None,
            incidents=self._take_incidents(),
        )

    def _why_no_sweep(self, beside_marks: bool) -> str | None:
        if self._loops and not beside_marks:
            return "not needed: the timesteps were measured"
        if not self.spec.measure.sweep:
            return "switched off (measure.sweep)"
        if self._assembled.compiled:
            return "the model is compiled: every length would compile anew"
        if varies_enough(self._timer.lengths):
            return "not needed: T varies by itself"
        return self.step.prefixes.reason

    def _sweep_into(self, points: list[PrefixPoint], limit_s: float) -> None:
        seed, events = self.spec.train.seed, self._timer.events
        held = self._replay if len(self._sizes) > 1 or self._timer.sizes_differ else None
        for point in sweep(self.step, self.device, events, seed, limit_s, held):
            points.append(point)
            self._progress.advance(len(points))

    def dwell(self, sampler: SampleSource, phases: Sequence[DwellPhase]) -> tuple[Dwell, ...]:
        """Repeat phases alone; each that cannot be says why in its dwell."""
        made = dwells(self.step, self.device, sampler, self.spec.measure, self._origin_ns, phases)
        taken = []
        for dwell in made:
            taken.append(dwell)
            self._progress.advance(len(taken))
        return tuple(taken)

    def profile(
        self, profiler: Profiler, operations: int | None
    ) -> tuple[ProfiledPass, tuple[Incident, ...]]:
        """Run a few steps under the profiler; also where only that shows timesteps."""
        profiler.for_recurrence = self._unmarked_at > 0
        profiler.follows_length = self._unmarked_at > 1
        return profiler.take(self.step, self._loops, operations)

    def depths(self, timesteps: Sequence[int]) -> tuple[DepthLaw, ...]:
        """Derive the sequential depth at each T; it needs no device and measures nothing."""
        if self._assembled.compiled:
            return tuple(DepthLaw(timesteps=t, reason=_COMPILED_DEPTH) for t in timesteps)
        try:
            batch = self.step.next_batch()
            built, train = self._assembled.built, self.spec.train
            return depth_at_lengths(
                self.step.model, built.loss, train, batch, timesteps, own_step=built.step
            )
        except Exception as error:  # a lost device too: all that is measured is there already
            return tuple(DepthLaw(timesteps=t, reason=reason_of(error)) for t in timesteps)
