"""How much seqprof's timestep marks slow a step, and how much torch.profiler does, in one run.

    python benchmarks/perturbation.py [--pairs 100] [--threads 1] [--device cuda]

Bare steps, steps probed with default settings and steps under ``torch.profiler`` (CPU activities,
no stacks, no shapes) alternate; the figures are medians of the paired ratios to the bare step of
the same round, with the 95 % interval of the median by order statistics. A second bare step in each
round is the control: how far its ratio is from 1 is what this machine cannot resolve. A step's time
is that of the step alone, as a report takes it: what is prepared before and read out after it is in
neither. On an accelerator it is the device's, between events at the step's two ends, and the
profiler records kernels too.
"""

from __future__ import annotations

import argparse
import os
from itertools import product
from pathlib import Path
from typing import Any

import torch
from device_clock import DeviceClock, add_device
from ratios import described
from torch.profiler import ProfilerActivity, profile

from seqprof.instruments import torch_bridge
from seqprof.instruments.loops import TimestepLoop
from seqprof.measure.device import describe_device
from seqprof.measure.trial.pairs import StepTimer, settled_garbage
from seqprof.recording import StepKind
from seqprof.spec import Spec
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep
from seqprof.workloads.step_result import StepResult

#: Batch and hidden size.
CASES = ((16, 256), (1, 32))
#: A profiled step of the small model takes several times a bare one; fewer do.
PROFILED_EVERY = 5


class Steps:
    """Steps of ``timer``, timed by the device's clock.

    Args:
        timer: runs them.
        step: what is timed in each, without what ``timer`` does before and after.
        device: whose clock is read.
    """

    def __init__(self, timer: StepTimer, step: TrainingStep, device: torch.device) -> None:
        self._timer, self._clock = timer, DeviceClock(device)
        kernels = torch_bridge.kernel_activity(device)
        self._activities = [ProfilerActivity.CPU, *([kernels] if kernels is not None else [])]
        self._run, self._seconds = step.run, 0.0
        step.run = self._timed  # type: ignore[method-assign]

    def _timed(self, *args: Any, **kwargs: Any) -> StepResult:
        results: list[StepResult] = []
        self._seconds = self._clock.time(lambda: results.append(self._run(*args, **kwargs)))
        return results[0]

    def time(self, pair: int, stride: int | None = None) -> float:
        """Seconds of a bare step, or of one with every ``stride``-th timestep marked."""
        kind: StepKind = "bare" if stride is None else "probed"
        self._timer.run(kind, pair, stride)
        return self._seconds

    def time_profiled(self, pair: int) -> float:
        """Seconds of a bare step under torch.profiler."""
        with profile(activities=self._activities):
            return self.time(pair)


def measure(
    batch_size: int, hidden_size: int, timesteps: int, pairs: int, device: torch.device
) -> None:
    spec = Spec.model_validate(
        {
            "model": {"name": "lstm", "execution": "cell", "hidden_size": hidden_size},
            "data": {"batch_size": batch_size, "seq_len": timesteps},
        }
    )
    built = build(spec, Path.cwd())
    built.model.to(device)
    step = TrainingStep(built, spec, device)
    module = built.facts.timestep_modules[0]
    cell = dict(built.model.named_modules())[module.path]
    timer = StepTimer(step, device, [TimestepLoop(module.path, cell)], 0)
    steps = Steps(timer, step, device)
    warmup = [steps.time(0) for _ in range(5)]
    plan, mark_s = timer.plan(min(warmup) / step.timesteps, "auto", spec.measure.timesteps.budget)

    probed_ratios, control_ratios, profiled_ratios, strides = [], [], [], {plan.stride}
    for pair in range(pairs):
        kinds = ("bare", "probed", "control")
        turn = pair % len(kinds)
        seconds = {
            kind: steps.time(pair, plan.stride if kind == "probed" else None)
            for kind in (*kinds[turn:], *kinds[:turn])
        }
        probed_ratios.append(seconds["probed"] / seconds["bare"])
        control_ratios.append(seconds["control"] / seconds["bare"])
        plan.judge(seconds["bare"], seconds["probed"])
        strides.add(plan.stride)
        if pair % PROFILED_EVERY == 0:
            profiled_ratios.append(steps.time_profiled(pair) / steps.time(pair))
    print(f"LSTM cell, batch {batch_size}, hidden {hidden_size}, T {timesteps}")
    print(f"  seqprof, strides {sorted(strides)}, {mark_s * 1e6:.1f} µs a mark: ", end="")
    print(described(probed_ratios))
    print(f"  control, bare: {described(control_ratios)}")
    print(f"  torch.profiler: {described(profiled_ratios)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--lengths", type=int, nargs="+", default=[256], help="T")
    add_device(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # below, it writes two lines a profiled step
    print(f"torch {torch.__version__}, {describe_device(options.device).name}, ", end="")
    print(f"{options.threads} threads, {options.pairs} pairs")
    for case in product(CASES, options.lengths):
        (batch_size, hidden_size), timesteps = case
        with settled_garbage():
            measure(batch_size, hidden_size, timesteps, options.pairs, options.device)


if __name__ == "__main__":
    main()
