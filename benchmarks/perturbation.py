"""How much seqprof's timestep marks slow a step, and how much torch.profiler does, in one run.

    python benchmarks/perturbation.py [--pairs 100] [--threads 1]

Bare steps, steps probed with default settings and steps under ``torch.profiler`` (CPU activities,
no stacks, no shapes) alternate; the figures are medians of the paired ratios to the bare step of
the same round, with the 95 % interval of the median by order statistics. A second bare step in each
round is the control: how far its ratio is from 1 is what this machine cannot resolve.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from seqprof.analysis.statistics import estimate_median
from seqprof.instruments.loops import Loop
from seqprof.measure.pairs import StepTimer, fastest_step_s, settled_garbage
from seqprof.spec import Spec
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep

CASES = ((16, 256, 256), (1, 32, 256))
#: A profiled step of the small model takes several times a bare one; fewer do.
PROFILED_EVERY = 5


def timed(timer: StepTimer, pair: int, stride: int | None) -> float:
    return timer.run("bare" if stride is None else "probed", pair, stride).wall_s


def profiled(timer: StepTimer, pair: int) -> float:
    with profile(activities=[ProfilerActivity.CPU]):
        return timed(timer, pair, None)


def measure(batch_size: int, hidden_size: int, timesteps: int, pairs: int) -> None:
    spec = Spec.model_validate(
        {
            "model": {"name": "lstm", "execution": "cell", "hidden_size": hidden_size},
            "data": {"batch_size": batch_size, "seq_len": timesteps},
        }
    )
    built = build(spec, Path.cwd())
    step = TrainingStep(built, spec, torch.device("cpu"))
    module = built.facts.timestep_modules[0]
    cell = dict(built.model.named_modules())[module.path]
    timer = StepTimer(step, torch.device("cpu"), [Loop(module.path, cell, timesteps)], 0)
    warmup = [timed(timer, 0, None) for _ in range(5)]
    plan, mark_s = timer.plan(fastest_step_s(warmup), "auto", spec.measure.timesteps.budget)

    probed_ratios, control_ratios, profiled_ratios, strides = [], [], [], {plan.stride}
    for pair in range(pairs):
        kinds = ("bare", "probed", "control")
        turn = pair % len(kinds)
        seconds = {
            kind: timed(timer, pair, plan.stride if kind == "probed" else None)
            for kind in (*kinds[turn:], *kinds[:turn])
        }
        probed_ratios.append(seconds["probed"] / seconds["bare"])
        control_ratios.append(seconds["control"] / seconds["bare"])
        plan.judge(seconds["bare"], seconds["probed"])
        strides.add(plan.stride)
        if pair % PROFILED_EVERY == 0:
            profiled_ratios.append(profiled(timer, pair) / timed(timer, pair, None))
    print(f"LSTM cell, batch {batch_size}, hidden {hidden_size}, T {timesteps}")
    print(f"  seqprof, strides {sorted(strides)}, {mark_s * 1e6:.1f} µs a mark: ", end="")
    print(described(probed_ratios))
    print(f"  control, bare: {described(control_ratios)}")
    print(f"  torch.profiler: {described(profiled_ratios)}")


def described(ratios: Sequence[float]) -> str:
    ratio = estimate_median(ratios, unit="1", method="median of paired ratios", absent="no pair")
    return f"{ratio.value:.3f} (95 %: {ratio.low:.3f} to {ratio.high:.3f}, n = {ratio.n})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # below, it writes two lines a profiled step
    print(f"torch {torch.__version__}, {options.threads} threads, {options.pairs} pairs")
    for case in CASES:
        with settled_garbage():
            measure(*case, options.pairs)


if __name__ == "__main__":
    main()
