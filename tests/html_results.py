"""Results of every kind for the HTML report, small or long, and with names that attack a page.

Each is derived once a process: nothing changes a result.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from diff_recordings import again, base, slower
from example_recordings import ALL, change_trial, cpu_cell, pairs, recording, spec, workload
from explain_results import explained
from traces_fixtures import annotation, kernel, launch, operator, write_trace

from seqprof.analysis.depth.graph import Cost, OperationRun
from seqprof.analysis.depth.model_depth import (
    Assumptions,
    DepthPoint,
    DepthSummary,
    Recorded,
    derive,
)
from seqprof.analysis.diff.differences import find_differences
from seqprof.analysis.diff.gate import choose, hold
from seqprof.analysis.diff.outcome import DiffOutcome
from seqprof.analysis.history.lines import history_lines
from seqprof.analysis.history.trend import summarise_history
from seqprof.analysis.timeline.ranks import Digest, beside
from seqprof.analysis.timeline.summary import TraceSummary, summarise
from seqprof.history import Damaged
from seqprof.recording import (
    ActivityTotal,
    Candidate,
    DeviceSamples,
    Incident,
    LatencyMap,
    ProfiledPass,
    ProfiledPhase,
    ProfiledTimesteps,
    Recording,
    TimestepLatency,
    Trial,
)
from seqprof.reports.formats import Result, result_of
from seqprof.traces.kineto import read_trace

#: Ends a script, a style, an attribute and a comment, and would tell if it ran.
HOSTILE = (
    "</script></style>\"'--><img src=x onerror=document.title='owned'><script>alert(1)</script>"
)

Side = Literal["forward", "backward"]
SIDES: tuple[Side, ...] = ("forward", "backward")

#: A script that awaits the first plot: milliseconds since the page was asked for, as it marks them.
FIRST_PLOT = """new Promise(done => {
  const look = () => {
    const [mark] = performance.getEntriesByName("seqprof:first-plot");
    if (mark) done(mark.startTime);
    else setTimeout(look, 5);
  };
  look();
})"""


def run(name: str) -> Result:
    """One of the example runs."""
    return result_of(ALL[name](), f"{name}.json")


def long_run(timesteps: int, loops: Sequence[str] = ("body.cell",)) -> Recording:
    """A run of many timesteps: noise of a few per cent, and one timestep that is slow."""
    made = cpu_cell()
    latencies = tuple(_latency(side, timesteps, loop) for loop in loops for side in SIDES)
    maps = tuple(_map(side, timesteps, loop) for loop in loops for side in SIDES)
    trial = replace(
        made.trials[0],
        workload=workload(timesteps=timesteps),
        latencies=latencies,
        latency_maps=maps,
    )
    return replace(made, trials=(trial,))


def marked_in_part(made: Recording, marked: Callable[[int], bool]) -> Recording:
    """The same run, had no probed step marked the other timesteps."""

    def part(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(value if marked(t) else None for t, value in enumerate(values))

    latencies = tuple(
        replace(
            latency,
            samples=tuple(n if marked(t) else 0 for t, n in enumerate(latency.samples)),
            mean_s=part(latency.mean_s),
            p05_s=part(latency.p05_s),
            p25_s=part(latency.p25_s),
            p50_s=part(latency.p50_s),
            p75_s=part(latency.p75_s),
            p95_s=part(latency.p95_s),
        )
        for latency in made.trials[0].latencies
    )
    return replace(made, trials=(replace(made.trials[0], latencies=latencies),))


def _latency(side: Side, timesteps: int, loop: str) -> TimestepLatency:
    chance = random.Random(f"{side}{loop}")
    p50 = [1.5e-4 * chance.gauss(1.0, 0.05) for _ in range(timesteps)]
    p50[timesteps // 3] = 9e-4

    def at(scale: float) -> tuple[float, ...]:
        return tuple(float(f"{value * scale:.5g}") for value in p50)

    return TimestepLatency(
        loop=loop,
        phase=side,
        clock="host",
        reverse=False,
        samples=(20,) * timesteps,
        mean_s=at(1.01),
        p05_s=at(0.9),
        p25_s=at(0.96),
        p50_s=at(1.0),
        p75_s=at(1.04),
        p95_s=at(1.2),
    )


def _map(side: Side, timesteps: int, loop: str) -> LatencyMap:
    chance = random.Random(f"map{side}{loop}")
    columns = min(timesteps, 128)
    return LatencyMap(
        loop=loop,
        phase=side,
        clock="host",
        timesteps=timesteps,
        pairs=tuple(range(20)),
        starts=tuple(index * timesteps // columns for index in range(columns)),
        mean_s=tuple(
            tuple(
                None if row == 3 and column == 5 else float(f"{chance.gauss(1.5e-4, 5e-6):.3g}")
                for column in range(columns)
            )
            for row in range(20)
        ),
    )


def profiled(loop: str = "body.cell") -> Recording:
    """A run on an accelerator with a profiled pass, idle by cause, and a kernel's own name."""
    phases = tuple(
        ProfiledPhase(
            phase=side,
            window_s=0.007,
            busy_s=0.002,
            idle_s=0.005,
            activities=1024.0,
            idle_by_cause_s={"launch": 0.004, "sync": 0.001, "data": 0.0},
        )
        for side in SIDES
    )
    made = ALL["accelerator"]()
    trial = replace(
        made.trials[0],
        profile=ProfiledPass(
            on="device",
            steps=3,
            wall_s=(0.03, 0.031, 0.03),
            whole=replace(phases[0], phase="step"),
            phases=phases,
            timesteps=tuple(
                ProfiledTimesteps(
                    loop=loop,
                    phase=side,
                    activities=(16.0,) * 64,
                    busy_s=(3e-5,) * 63 + (None,),
                    idle_s=(7e-5,) * 63 + (None,),
                )
                for side in SIDES
            ),
            activities=(ActivityTotal(name=loop, calls=64.0, total_s=0.001, share=0.4),),
            clock_error_s=2e-6,
        ),
    )
    return replace(made, trials=(trial,))


def hostile_run() -> Result:
    """A run whose every string attacks the page."""
    made = long_run(64, (HOSTILE,))
    accelerated = profiled(HOSTILE)
    trial = replace(
        made.trials[0],
        workload=workload(model=HOSTILE, data=HOSTILE, family=None),
        profile=accelerated.trials[0].profile,
        incidents=(Incident(kind="step_failed", detail=HOSTILE),),
        samples=DeviceSamples(reason=HOSTILE),
    )
    hostile = replace(
        made,
        trials=(trial,),
        command=HOSTILE,
        created=HOSTILE,
        spec=spec(model__name=HOSTILE, model__config={HOSTILE: HOSTILE}),
        environment=replace(
            accelerated.environment,
            device=replace(accelerated.environment.device, name=HOSTILE),
            cpu=HOSTILE,
            platform=HOSTILE,
        ),
    )
    return result_of(hostile, HOSTILE)


def _candidate(label: str, timesteps: int) -> Candidate:
    return Candidate(
        label=label,
        spec=spec(model__target=None, data__seq_len=timesteps, measure__timesteps={"budget": 0.01}),
    )


def _trial(step_s: float, timesteps: int, seed: int) -> Trial:
    phases: Any = {
        "data": 0.01 * step_s,
        "forward": 0.36 * step_s,
        "loss": 0.01 * step_s,
        "backward": 0.6 * step_s,
        "optimizer": 0.02 * step_s,
    }
    return Trial(
        workload=workload(timesteps=timesteps),
        warmup_wall_s=(step_s,),
        steps=pairs(phases, count=12, stride=None, seed=seed),
        timesteps_reason="not marked in a comparison",
    )


@cache
def compared(first: str = "lstm", second: str = "attention") -> Result:
    """Two candidates at two lengths, and a third that ran out of memory."""
    cases = []
    for timesteps in (64, 128):
        cases.append((_candidate(first, timesteps), _trial(0.001 * timesteps, timesteps, 1)))
        cases.append((_candidate(second, timesteps), _trial(5e-6 * timesteps**2, timesteps, 2)))
        lost = replace(
            _trial(1.0, timesteps, 3),
            steps=(),
            incidents=(Incident(kind="out_of_memory", detail="CUDA out of memory"),),
        )
        cases.append((_candidate("large", timesteps), lost))
    return result_of(_several("compare", cases, baseline=first), "compare.json")


@cache
def scaled(first: str = "lstm", second: str = "attention") -> Result:
    """Two candidates over lengths, which cost the same at T = 200."""
    cases = []
    for timesteps in (32, 64, 128, 256, 512):
        cases.append((_candidate(first, timesteps), _trial(0.001 * timesteps, timesteps, 1)))
        cases.append((_candidate(second, timesteps), _trial(5e-6 * timesteps**2, timesteps, 2)))
    return result_of(_several("scale", cases), "scale.json")


def scaled_by(seconds: Callable[[int], float]) -> Result:
    """One candidate over lengths, with these times of a step."""
    cases = [(_candidate("lstm", t), _trial(seconds(t), t, 1)) for t in (32, 64, 128, 256)]
    return result_of(_several("scale", cases), "scale.json")


def beside_a_spell(trial: Trial, rounds: int, times: float) -> Trial:
    """The trial with more rounds like its last, so many times as slow: others had the processor."""
    last = max(step.pair for step in trial.steps)
    slow = tuple(
        replace(step, pair=last + 1 + k, wall_s=times * step.wall_s)
        for k in range(rounds)
        for step in trial.steps
        if step.pair == last
    )
    spell = tuple(range(last + 1, last + 1 + rounds))
    return replace(trial, steps=(*trial.steps, *slow), contended_rounds=spell)


def scaled_over_batches() -> Result:
    """One candidate over batches: a batch costs a fixed time, and each sequence its own."""
    cases = []
    for batch_size in (1, 2, 4, 8, 16, 32):
        made = _trial(0.004 + 0.001 * batch_size, 64, batch_size)
        trial = replace(made, workload=replace(made.workload, batch_size=batch_size))
        cases.append((_candidate("lstm", 64), trial))
    return result_of(_several("scale", cases), "scale.json")


def _several(
    kind: Literal["compare", "scale"],
    cases: Sequence[tuple[Candidate, Trial]],
    baseline: str | None = None,
) -> Recording:
    return replace(
        recording(cases[0][1]),
        kind=kind,
        trials=tuple(trial for _, trial in cases),
        candidates=tuple(candidate for candidate, _ in cases),
        baseline=baseline,
        command=f"seqprof {kind} lstm attention",
    )


@cache
def depth(name: str = "lstm") -> Result:
    """A model of depth 15·T + 8."""

    def cost(depth_ops: int, work_ops: int) -> Cost:
        return Cost(
            work_ops=work_ops,
            depth_ops=depth_ops,
            depth_ops_scans_as_log2=depth_ops,
            work_flops=1000 * work_ops,
            span_flops=1000 * depth_ops,
            work_bytes=4000 * work_ops,
            parallelism=work_ops / depth_ops,
        )

    points = tuple(
        DepthPoint(
            timesteps=t,
            step=cost(15 * t + 8, 35 * t + 4),
            forward=cost(7 * t + 2, 12 * t),
            backward=cost(8 * t, 23 * t),
        )
        for t in (4, 5, 6, 8, 12, 16, 17, 64)
    )
    recorded = Recorded(
        model=name,
        form="sum loss",
        batch_size=16,
        timesteps=64,
        asked=(64,),
        points=points,
        optimizer=None,
        single=None,
        hidden_scans={},
        path=(OperationRun(repeats=64, names=("addmm", "tanh")),),
        notes=(name,),
    )
    assumptions = Assumptions(
        kernel_latency_s=4e-6,
        latency_source="assumed; --kernel-latency says another",
        peak_flops=None,
        peak_source="the peak is not known",
    )
    models = (derive(recorded, assumptions),)
    summary = DepthSummary(models=models, assumptions=assumptions)
    return Result(kind="depth", name="seqprof depth lstm", summary=summary, recording=None)


@cache
def explanation(first: str = "lstm", second: str = "attention") -> Result:
    """The argument about two candidates, as measured over lengths."""
    measured = scaled(first, second).recording
    assert measured is not None
    return explained(measured, depth(first).summary, first)


def trace(folder: Path, name: str = "gemm") -> Result:
    """Two profiled steps of 40 timesteps, each a cell of two kernels."""
    events: list[dict[str, Any]] = []
    at = 0.0
    for step in range(2):
        start, begin = at, len(events)
        for timestep in range(40):
            number = 1000 * step + 2 * timestep + 1
            events.append(operator("aten::lstm_cell", at, 22.0))
            for each, kernel_name in enumerate((name, "tanh")):
                events.append(launch(at, number + each))
                events.append(kernel(kernel_name, at + 6.0, 4.0, number + each))
                at += 12.0
        events.insert(begin, annotation(f"ProfilerStep#{step}", start, at - start))
    return Result(
        kind="trace",
        name="trace.json",
        summary=_summary(write_trace(folder / "trace.json", events)),
        recording=None,
    )


@cache
def ranks(name: str = "rank") -> Result:
    """Three ranks of a job, the second of which the others wait for."""
    digests = [
        Digest(
            source=f"{name}{rank}.json",
            rank=rank,
            process=None,
            device=0,
            span_ns=1_000_000,
            busy_ns=600_000 + 100_000 * (rank == 1),
            idle_ns=400_000 - 100_000 * (rank == 1),
            idle_fraction=0.4 - 0.1 * (rank == 1),
            idle_by_cause_ns={"launch": 400_000 - 100_000 * (rank == 1)},
            median_step_ns=None,
            collective_ns=100_000,
            exposed_ns=50_000,
            keys=("order 0 all_reduce 1",),
            starts_ns=(700_000 + 90_000 * (rank == 1) + rank,),
            ends_ns=(800_000 + rank,),
        )
        for rank in range(3)
    ]
    summary = beside(name, digests)
    return Result(kind="ranks", name=name, summary=summary, recording=None)


def _summary(path: Path) -> TraceSummary:
    return summarise(read_trace(path))


@cache
def changes(name: str = "branch.json") -> Result:
    """A change that made the backward slower, held against 5 %; with ``name`` for every name."""
    old, new = base(), slower({"backward": 1.5})
    if name != "branch.json":
        new = replace(
            change_trial(
                new, latencies=tuple(replace(m, loop=name) for m in new.trials[0].latencies)
            ),
            created=name,
            environment=replace(new.environment, torch=name, commit=name),
        )
    found = find_differences([old], [new], ("main.json", name))
    outcome = DiffOutcome(differences=found, gate=hold(found, 0.05, choose(found, ["step_time"])))
    return Result(kind="diff", name=name, summary=outcome, recording=None)


@cache
def history(name: str = "history.jsonl") -> Result:
    """Twelve runs, slower from the seventh on, and a damaged line."""
    lines = [
        line
        for day in range(1, 13)
        for made in [again() if day <= 6 else slower({"backward": 1.5})]
        for line in history_lines(
            replace(
                made,
                created=f"2026-11-{day:02d}T00:00:00+00:00",
                environment=replace(made.environment, commit=name),
            )
        )
    ]
    summary = summarise_history(name, lines, [Damaged(3, name)])
    return Result(kind="history", name=name, summary=summary, recording=None)


@cache
def _profiled_run() -> Result:
    return result_of(profiled(), "run.json")


def every_kind(folder: Path, name: str | None = None) -> dict[str, Result]:
    """One result of each kind; with ``name`` in the places of models, candidates, kernels."""
    if name is None:
        return {
            "run": _profiled_run(),
            "compare": compared(),
            "scale": scaled(),
            "depth": depth(),
            "explain": explanation(),
            "trace": trace(folder),
            "ranks": ranks(),
            "diff": changes(),
            "history": history(),
        }
    return {
        "run": hostile_run(),
        "compare": compared(name, f"{name}2"),
        "scale": scaled(name, f"{name}2"),
        "depth": depth(name),
        "explain": explanation(name, f"{name}2"),
        "trace": trace(folder, name),
        "ranks": ranks(name),
        "diff": changes(name),
        "history": history(name),
    }
