"""What the agent recorded in one process → a trial like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, NamedTuple

from seqprof.analysis.loop.counted import accounts, depth, operations, timestep_operations
from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.iterations import LoopAnalysis, find_loop
from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.latencies import Latencies, of_iteration
from seqprof.analysis.loop.marks import blocks
from seqprof.analysis.loop.phases import PhaseTime, phase_times, segments
from seqprof.analysis.loop.process import Fact, ProcessLog
from seqprof.analysis.loop.unknown import what_is_unknown
from seqprof.analysis.run.latencies import bounded, latencies_of, maps_of
from seqprof.recording import (
    ForeignLoop,
    Incident,
    LoopIteration,
    LoopTiming,
    PhaseTiming,
    Step,
    Trial,
    Workload,
)

_NS = 1e-9
_Kind = Literal["bounded", "probed", "metered"]
_KINDS: dict[int, _Kind] = {
    0: "bounded",
    int(Flag.PROBED): "probed",
    int(Flag.METERED): "metered",
}
#: Flags of iterations that are no measured step, and their names.
_UNMEASURED: dict[int, Literal["warmup", "profiled"]] = {
    int(Flag.WARMUP): "warmup",
    int(Flag.PROFILED): "profiled",
}


class ProfiledStep(NamedTuple):
    """One step under the profiler: its segments, host clock in ns."""

    number: int
    start_ns: int
    end_ns: int
    segments: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Timed:
    """An iteration with the times of its phases and the timings of its loops."""

    iteration: Iteration
    phases: dict[str, PhaseTime]
    loops: tuple[LoopTiming, ...] = ()

    @property
    def wall_s(self) -> float:
        return sum(time.wall_ns for time in self.phases.values()) * _NS


class LoopRecord:
    """One process's log, read once."""

    def __init__(self, log: ProcessLog) -> None:
        self.log = log
        self.loop: LoopAnalysis = find_loop(log.events)
        #: What was found out in the first iterations; empty where the loop ended before.
        self._explored: Fact = log.last_of("explored") or {}
        by_fetch = self.loop.boundary == "fetch"
        self._latencies = Latencies(log.all_of("loop"), log.device_marks)
        self._origin_ns = log.events[0].at_ns if log.events else 0
        timings = self._loop_timings()
        self._timed = [
            _Timed(it, phase_times(it, by_fetch=by_fetch), tuple(timings.get(index, ())))
            for index, it in enumerate(self.loop.iterations)
        ]

    def _loop_timings(self) -> dict[int, list[LoopTiming]]:
        """Take in the timestep marks; returns each iteration's loop timings."""
        starts = [iteration.start.at_ns for iteration in self.loop.iterations]
        by_loop: dict[int, list[LoopTiming]] = {}
        for block in blocks(self.log.marks):
            index = of_iteration(starts, block)
            if index >= 0 and self.loop.iterations[index].finished:
                self.loop.iterations[index].stride = block.stride
                pair = self.loop.iterations[index].pair
                by_loop.setdefault(index, []).extend(self._latencies.add(block, pair))
        return {index: _summed(timings) for index, timings in by_loop.items()}

    @property
    def trained(self) -> bool:
        """Whether there is anything to show."""
        return any(iteration.finished for iteration in self.loop.iterations)

    @property
    def measured(self) -> bool:
        """Whether a step beyond the warm-up was finished."""
        return any(it.finished and it.flags != Flag.WARMUP for it in self.loop.iterations)

    @property
    def ended_s(self) -> float:
        """When the last event was, on the trial's clock."""
        return (self.log.events[-1].at_ns - self._origin_ns) * _NS if self.log.events else 0.0

    def profiled_steps(self) -> list[ProfiledStep]:
        """The finished steps under the profiler without evaluation in them, in order."""
        by_fetch = self.loop.boundary == "fetch"
        return [
            ProfiledStep(
                number=it.index,
                start_ns=it.start.at_ns,
                end_ns=it.end.at_ns,
                segments=tuple(
                    (label, start.at_ns, end.at_ns)
                    for label, start, end in segments(it, by_fetch=by_fetch)
                ),
            )
            for it in self.loop.iterations
            if it.flags == Flag.PROFILED and it.finished and not it.evaluations
        ]

    def trial(self, exit_code: int | None, ended: str) -> Trial:
        """Return the trial. ``ended`` says how the watching ended, where the log does not."""
        measured = [t for t in self._timed if t.iteration.finished]
        samples = self._latencies.samples()
        bounded_samples = bounded(samples)
        workload = self._workload()
        return Trial(
            workload=workload,
            warmup_wall_s=tuple(
                t.wall_s for t in measured if t.iteration.flags == Flag.WARMUP and t.wall_s > 0
            ),
            steps=tuple(
                self._step(t)
                for t in measured
                if t.iteration.flags not in _UNMEASURED and t.wall_s > 0
            ),
            clock_origin_ns=self._origin_ns,
            cpu_clock="process",
            timestep_samples=bounded_samples,
            latencies=latencies_of(samples),
            latency_maps=() if bounded_samples else maps_of(samples),
            timesteps_reason=self._timesteps_reason(),
            accounts=accounts(self.log),
            operations=operations(self.log),
            depth=depth(self.log, workload),
            timestep_operations=timestep_operations(self.log),
            mark_cost_s=(self.log.last_of("mark_cost") or {}).get("seconds"),
            sweep_reason="a foreign loop is not repeated: no shorter sequences were tried",
            loop=self._foreign_loop(exit_code, ended),
            incidents=self._incidents(),
        )

    # --- steps ---------------------------------------------------------------------------------

    def _step(self, timed: _Timed) -> Step:
        iteration = timed.iteration
        sizes = self._sizes(iteration)
        # The step after a metered one begins where that ends: a part of it has its clocks, too.
        metered = iteration.flags == Flag.METERED
        return Step(
            pair=iteration.pair,
            kind=_kind(timed),
            timesteps=tuple(t for t, _ in sizes if t),
            batch_sizes=tuple(b for _, b in sizes if b),
            started_at_s=(iteration.start.at_ns - self._origin_ns) * _NS,
            wall_s=timed.wall_s,
            phases={name: _timing(time, metered) for name, time in timed.phases.items()},
            loops=timed.loops,
            stride=iteration.stride if timed.loops else None,
            positions=sum(t * b for t, b in sizes),
            padded_positions=None,
        )

    def _sizes(self, iteration: Iteration) -> list[tuple[int, int]]:
        """(T, B) of each forward that trains, or of each round where roots are timesteps."""
        explored = self._explored
        root = explored.get("timestep_root")
        if root is not None:
            calls = sum(span.key == root for span in iteration.training_forwards())
            rounds = max(1, iteration.rounds)
            batch = next((b for _, b in iteration.sizes if b), 0)
            return [(calls // rounds, batch)] * rounds
        if not iteration.sizes:
            return self._explored_sizes(iteration)
        return iteration.sizes

    def _explored_sizes(self, iteration: Iteration) -> list[tuple[int, int]]:
        """The sizes that were seen in the iteration; else those that all had that were seen."""
        explored = self._explored
        first, last = iteration.start.at_ns, iteration.end.at_ns
        seen = [(at, (t or 0, b or 0)) for at, t, b in explored.get("sizes", ())]
        own = [sizes for at, sizes in seen if first <= at <= last and sizes[0]]
        if own:
            return own
        known = {sizes for _, sizes in seen}
        if len(known) != 1 or not all(t for t, _ in known) or self._has_other_roots(iteration):
            return []
        return [*known] * max(1, iteration.rounds)

    def _has_other_roots(self, iteration: Iteration) -> bool:
        """Whether a root is called that came after the loop was explored, or that is not known."""
        explored = self._explored
        forwards = {span.key for span in iteration.training_forwards()}
        known = set(explored.get("roots", ()))
        return bool(known) and not (explored["compiled"] or forwards & known == forwards != set())

    def _roots(self) -> list[Fact]:
        """What the script calls as a whole, not the parts of it that it also calls alone."""
        parts = self._explored.get("parts", ())
        modules = self.log.by_key("module").items()
        return [fact for key, fact in modules if fact["parameters"] and key not in parts]

    # --- the loop ------------------------------------------------------------------------------

    def _foreign_loop(self, exit_code: int | None, ended: str) -> ForeignLoop:
        log, loop = self.log, self.loop
        explored = self._explored
        failed, closed = log.last_of("failed"), log.last_of("closed")
        why = f"failed: {failed['error']}" if failed else (closed or {}).get("why", ended)
        process = log.last_of("process") or {}
        return ForeignLoop(
            boundary=loop.boundary,
            iterations=tuple(self._iteration(timed) for timed in self._timed),
            roots=_names(self._roots()),
            optimizers=_names(log.all_of("optimizer")),
            loaders=tuple(dict.fromkeys(str(f["dataset"]) for f in log.all_of("loader"))),
            timestep_modules=tuple(
                dict.fromkeys(path for fact in log.all_of("loop") for path in fact["modules"])
            ),
            timesteps_source=explored.get("source"),
            evaluation_batches=loop.evaluation_batches,
            rollout_forwards=sum(it.quiet for it in loop.iterations if it.rollout),
            compiled=bool(explored.get("compiled")),
            unknown=what_is_unknown(log, loop),
            ended=str(why),
            exit_code=exit_code,
            window=process.get("window", 1),
            steps_before=process.get("steps_before", 0),
        )

    def _iteration(self, timed: _Timed) -> LoopIteration:
        iteration = timed.iteration
        sizes = self._sizes(iteration)
        return LoopIteration(
            index=iteration.index,
            kind=_UNMEASURED.get(iteration.flags) or _kind(timed),
            started_at_s=(iteration.start.at_ns - self._origin_ns) * _NS,
            wall_s=timed.wall_s,
            phases_s={name: time.wall_ns * _NS for name, time in timed.phases.items()},
            rounds=iteration.rounds,
            timesteps=tuple(t for t, _ in sizes if t),
            batch_sizes=tuple(b for _, b in sizes if b),
            updates=iteration.updates,
            skipped=iteration.skipped,
            evaluation_s=sum(b.at_ns - a.at_ns for a, b in iteration.evaluations) * _NS,
            finished=iteration.finished,
        )

    # --- what was trained ----------------------------------------------------------------------

    def _workload(self) -> Workload:
        log = self.log
        roots = self._roots()
        optimizers = _names(log.all_of("optimizer"))
        sizes = [size for it in self.loop.iterations for size in self._sizes(it)]
        parameters = sum(fact["parameters"] for fact in roots) or sum(
            fact["parameters"] for fact in log.all_of("optimizer")
        )
        explored = self._explored
        return Workload(
            model=" + ".join(_names(roots)) or "no module",
            family=None,
            execution=None,
            parameters=parameters,
            data=_data_in_words(log.all_of("loader")),
            batch_size=int(median(b for _, b in sizes if b)) if any(b for _, b in sizes) else None,
            timesteps=max((t for t, _ in sizes), default=0) or None,
            precision=_precision(roots),
            optimizer=" + ".join(optimizers) or "none",
            micro_batches=self._micro_batches(),
            compiled=bool(explored.get("compiled")),
            flops_reason="a foreign loop's operations are not counted",
        )

    def _micro_batches(self) -> int:
        """Rounds per update, where each comes from a backward of its own outside the optimizer."""
        counts = [
            sum(span.kind == Kind.BACKWARD_IN for span in it.spans)
            / max(1, it.updates + it.skipped)
            for it in self.loop.iterations
            if it.finished
        ]
        return max(1, round(median(counts))) if counts else 1

    def _timesteps_reason(self) -> str | None:
        if self._latencies.samples():
            return None
        explored = self._explored
        if not explored:
            return "the loop ended before its modules were known"
        if explored["compiled"]:
            return "the model is compiled: its timesteps are no longer calls"
        if self.log.all_of("loop"):
            return "the loop ended before a step with timestep marks"
        if explored["fused"]:
            return f"one call of '{explored['fused'][0]}' handles the whole sequence"
        return "no module is called once per timestep"

    def _incidents(self) -> tuple[Incident, ...]:
        return tuple(
            Incident(kind="watching_failed", detail=str(fact["error"]))
            for fact in self.log.all_of("failed")
        )


def _timing(time: PhaseTime, metered: bool) -> PhaseTiming:
    cpu_s = time.cpu_ns * _NS if metered and time.cpu_ns is not None else None
    device_s = time.device_ns * _NS if metered and time.device_ns is not None else None
    return PhaseTiming(host_s=time.wall_ns * _NS, cpu_s=cpu_s, device_s=device_s)


def _kind(timed: _Timed) -> _Kind:
    """A step that was to have marks and took none is bounded."""
    kind = _KINDS.get(timed.iteration.flags, "bounded")
    return "bounded" if kind == "probed" and not timed.loops else kind


def _summed(timings: Sequence[LoopTiming]) -> list[LoopTiming]:
    """One timing for each loop and phase: rounds are added up."""
    totals: dict[tuple[str, Literal["forward", "backward"]], LoopTiming] = {}
    for timing in timings:
        key = (timing.loop, timing.phase)
        before = totals.get(key)
        totals[key] = timing if before is None else _added(before, timing)
    return list(totals.values())


def _added(one: LoopTiming, other: LoopTiming) -> LoopTiming:
    known = one.device_s is not None and other.device_s is not None
    return replace(
        one,
        host_s=one.host_s + other.host_s,
        device_s=(one.device_s or 0.0) + (other.device_s or 0.0) if known else None,
    )


def _names(facts: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(fact["name"]) for fact in facts))


def _data_in_words(loaders: Sequence[Fact]) -> str:
    if not loaders:
        return "no DataLoader"
    first = loaders[0]
    workers = f", {first['workers']} workers" if first.get("workers") else ""
    return f"DataLoader over {first['dataset']}{workers}"


def _precision(roots: Sequence[Fact]) -> str:
    if not roots:
        return "unknown"
    names = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}
    autocast = next((fact["autocast"] for fact in roots if fact["autocast"]), None)
    name = autocast or roots[0]["dtype"]
    return names.get(name, str(name)) + (" autocast" if autocast else "")
