"""What seqprof's bare and bounded steps take against the same training loop without seqprof.

    python benchmarks/bare.py [--rounds 300] [--threads 1] [--device cuda]

In every round a plain loop's step, a bare step, a plain step timed by phase and a bounded step take
turns on the same model, optimizer and data, in any order. Shown are the median of the
paired ratios bare / plain with its 95 % interval, and for each phase the median of the bounded
steps beside that of the plain ones. A second plain step in each round is the control: how far its
ratio is from 1 is what this machine cannot resolve. On an accelerator a step is timed by the host,
from an idle device to an idle device, as a bare step is, and a phase by events on its stream.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import torch
from device_clock import DeviceClock, add_device
from ratios import described

from seqprof.instruments.clocks import synchronize
from seqprof.measure.device import describe_device
from seqprof.measure.trial.pairs import StepTimer, settled_garbage
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built, build
from seqprof.workloads.step import TrainingStep

#: Batch, hidden size, T: from 0.3 ms a step up.
CASES = ((2, 16, 4), (4, 32, 16), (8, 64, 64))
PHASES = ("data", "forward", "loss", "backward", "optimizer")


class PlainLoop:
    """A training loop as one writes it, on the model and the optimizer of ``step``.

    The graph ends with its step: a function that returned would free it after the clock is read,
    and a loop that overwrites ``loss`` in the next step. With T = 64 that takes 3 % of a step.
    """

    def __init__(self, built: Built, step: TrainingStep, device: torch.device) -> None:
        self._device, self._clock = device, DeviceClock(device)
        self._model, self._loss = built.model, built.loss
        self._optimizer = step.optimizer
        self._data: Iterator[Batch] = iter(built.data)

    def step(self) -> float:
        """Seconds of one step."""
        synchronize(self._device)
        began = perf_counter_ns()
        batch = next(self._data).to(self._device, non_blocking=True)
        output = self._model(batch.inputs)
        loss = self._loss(output, batch)
        del output
        loss.backward()  # type: ignore[no-untyped-call]
        del loss
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        synchronize(self._device)
        return (perf_counter_ns() - began) * 1e-9

    def phases(self) -> dict[str, float]:
        """Seconds of each phase of one step."""
        stamp = self._clock.stamp
        self._clock.begin()
        stamps = [stamp()]
        batch = next(self._data).to(self._device, non_blocking=True)
        stamps.append(stamp())
        output = self._model(batch.inputs)
        stamps.append(stamp())
        loss = self._loss(output, batch)
        del output
        stamps.append(stamp())
        loss.backward()  # type: ignore[no-untyped-call]
        del loss
        stamps.append(stamp())
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        stamps.append(stamp())
        spans = pairwise(stamps)
        return {
            phase: self._clock.seconds(start, end)
            for phase, (start, end) in zip(PHASES, spans, strict=True)
        }


def measure(
    batch_size: int, hidden_size: int, timesteps: int, rounds: int, device: torch.device
) -> None:
    spec = Spec.model_validate(
        {
            "model": {"name": "lstm", "execution": "cell", "hidden_size": hidden_size},
            "data": {"kind": "synthetic", "batch_size": batch_size, "seq_len": timesteps},
        }
    )
    built = build(spec, Path.cwd())
    built.model.to(device)
    step = TrainingStep(built, spec, device)
    plain, timer = PlainLoop(built, step, device), StepTimer(step, device, (), 0)
    walls: dict[str, list[float]] = {"plain": [], "bare": [], "control": []}
    own: list[dict[str, float]] = []
    bounded: list[dict[str, float]] = []

    def take_bounded(round_: int) -> None:
        made = timer.run("bounded", round_)
        bounded.append({p: t.host_s if t.device_s is None else t.device_s
                        for p, t in made.phases.items()})  # fmt: skip

    turns: list[Callable[[int], None]] = [
        lambda _: walls["plain"].append(plain.step()),
        lambda round_: walls["bare"].append(timer.run("bare", round_).wall_s),
        lambda _: walls["control"].append(plain.step()),
        lambda _: own.append(plain.phases()),
        take_bounded,
    ]
    for _ in range(5):
        plain.step()
    draw = random.Random(0)
    for round_ in range(rounds):
        # In one order each kind would always find the caches that the same one leaves.
        for take in draw.sample(turns, len(turns)):
            take(round_)
    milliseconds = median(walls["plain"]) * 1e3
    print(f"LSTM cell, batch {batch_size}, hidden {hidden_size}, T {timesteps}: ", end="")
    print(f"{milliseconds:.3f} ms a step without seqprof")
    print(f"  bare / plain     {ratio(walls['bare'], walls['plain'])}")
    print(f"  control / plain  {ratio(walls['control'], walls['plain'])}")
    for phase in PHASES:
        before, after = (median([each[phase] for each in side]) * 1e6 for side in (own, bounded))
        print(
            f"  {phase:9} {before:8.1f} µs plain, {after:8.1f} µs bounded ({after - before:+.1f})"
        )


def ratio(times: Sequence[float], plain: Sequence[float]) -> str:
    return described([a / b for a, b in zip(times, plain, strict=True)], 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    add_device(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {describe_device(options.device).name}, ", end="")
    print(f"{options.threads} threads, {options.rounds} rounds")
    for case in CASES:
        with settled_garbage():
            measure(*case, options.rounds, options.device)


if __name__ == "__main__":
    main()
