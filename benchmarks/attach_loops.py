"""Random training loops, watched: whether seqprof sees in them what they know of themselves.

::

    python benchmarks/attach_loops.py [--seeds 200] [--from 0]

A seed makes one loop of each of two sorts, of which it prints what comes out otherwise:

*phases*: how batches are made, where gradients are zeroed, accumulation, autocast, GradScaler,
closures, two optimizers, logging, and validation at the top, at the bottom or after an epoch. The
loop keeps clocks of its own; counts must be exact, phases agree within 3 % or 0.4 ms in three
quarters of the steps. Where no DataLoader is used, nothing bounds the making of a batch, and data
and other are not held against the clocks.

*timesteps*: cells in loops over all timesteps or all but one, stacks, directions, encoder and
decoder, a cell called twice, fused layers, a convolution that halves the sequence; T the same in
each step, growing, shrinking or any. T of each step, the modules found and the number of latencies
must be exact, times positive, and a loop shorter than its phase.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import seqprof
from seqprof.recording import Trial

SHARE, SECONDS, MOSTLY = 0.03, 400e-6, 0.75
STEPS, EXPLORED = 14, 4
PHASES = ("data", "forward", "loss", "backward", "optimizer", "other")


def watched(run: Callable[[], object]) -> Trial:
    """Run a loop and return what was recorded of it."""
    with seqprof.profile(budget=10) as p:
        run()
    return p.recording.trials[0]


# Phases ---------------------------------------------------------------------------------------


@dataclass
class Clocks:
    """What a loop knows of itself: seconds of each phase of each step."""

    steps: list[dict[str, float]] = field(default_factory=list)
    evaluated: int = 0
    at: float = 0.0
    step: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    def restart(self) -> None:
        self.at = perf_counter()

    def tick(self, phase: str) -> None:
        now = perf_counter()
        self.step[phase] += now - self.at
        self.at = now

    def close(self) -> None:
        self.steps.append(self.step)
        self.step = dict.fromkeys(PHASES, 0.0)


class Slow(Dataset[Tensor]):
    """Sequences of seven that take their time."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, _index: int) -> Tensor:
        sleep(0.0004)
        return torch.randn(7, 4)


class Recurrence(nn.Module):
    """By cells, by a fused layer or by plain operations."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.cell, self.rnn = nn.GRUCell(4, 8), nn.GRU(4, 8, batch_first=True)
        self.weight, self.out = nn.Parameter(torch.randn(12, 8) * 0.1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        sleep(0.002)
        y: Any = self.out(self._states(x))
        if y.requires_grad:
            y.register_hook(lambda _gradient: sleep(0.003))
        return y  # type: ignore[no-any-return]

    def _states(self, x: Tensor) -> Tensor:
        if self.style == "fused":
            return self.rnn(x)[0]  # type: ignore[no-any-return]
        h, states = x.new_zeros(x.size(0), 8), []
        for part in x.unbind(1):
            if self.style == "cell":
                h = self.cell(part, h)
            else:
                h = torch.tanh(torch.cat([part, h], 1) @ self.weight)
            states.append(h)
        return torch.stack(states, 1)


class Criterion(nn.Module):
    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        sleep(0.001)
        return (y - x).square().mean()


class Loop:
    """A training loop as somebody may have written it."""

    def __init__(self, seed: int) -> None:
        any_of = random.Random(seed).choice
        self.style = any_of(["cell", "fused", "operations"])
        self.batches = any_of(["loader", "loader", "workers", "made"])
        self.zero = any_of(["top", "before backward", "after"])
        self.validate = any_of([None, None, "top", "bottom", "epoch"])
        self.optimizer = any_of(["one", "two", "closure"])
        self.epochs = any_of([1, 2])
        self.criterion = any_of([True, False])
        self.log = any_of([None, "end", "each third", "amid"])
        self.autocast, self.scaled = any_of([False] * 3 + [True]), any_of([False] * 5 + [True])
        self.clip, self.schedule = any_of([False, True]), any_of([False, True])
        self.micro = 1 if self.optimizer == "closure" else any_of([1, 1, 3])
        if self.optimizer == "closure":
            self.scaled = self.clip = False
        self.clocks = Clocks()

    def run(self) -> None:
        model = Recurrence(self.style)
        parts = [
            list(model.out.parameters()),
            [p for n, p in model.named_parameters() if "out" not in n],
        ]
        groups = parts if self.optimizer == "two" else [parts[0] + parts[1]]
        self.model, self.criterion_ = model, Criterion()
        self.optimizers = [torch.optim.SGD(group, 0.01) for group in groups]
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizers[0], 3)
        self.scaler = torch.amp.GradScaler("cpu", enabled=self.scaled)
        number = 0
        for _ in range(self.epochs):
            self.clocks.restart()
            batches = self._batches(STEPS * self.micro // self.epochs)
            while self._step(batches, number):
                number += 1
                if self.validate == "bottom" and number % 4 == 2:
                    self._validate()
                self.clocks.restart()
            if self.validate == "epoch":
                self._validate()

    def _batches(self, count: int) -> Iterator[Tensor]:
        if self.batches != "made":
            workers = int(self.batches == "workers")
            return iter(DataLoader(Slow(4 * count), batch_size=4, num_workers=workers))
        return self._made(count)

    @staticmethod
    def _made(count: int) -> Iterator[Tensor]:
        for _ in range(count):
            sleep(0.0016)
            yield torch.randn(4, 7, 4)

    def _validate(self) -> None:
        self.model.eval()
        with torch.no_grad():
            for x in DataLoader(Slow(8), batch_size=4):
                self.model(x)
                self.clocks.evaluated += 1
        self.model.train()

    def _step(self, batches: Iterator[Tensor], number: int) -> bool:
        clocks = self.clocks
        for micro in range(self.micro):
            x = next(batches, None)
            if x is None:
                return False
            clocks.tick("data")
            if self.validate == "top" and number % 4 == 1 and not micro:
                self._validate()
                clocks.restart()
            if self.optimizer == "closure":
                self.optimizers[0].step(lambda x=x: self._round(x, first=True))
                clocks.tick("optimizer")
            else:
                self._round(x, first=not micro)
        if self.optimizer != "closure":
            self._update()
        if self.schedule:
            self.scheduler.step()
        if self.log == "end" or (self.log == "each third" and number % 3 == 0):
            sleep(0.002)
        clocks.tick("other")
        clocks.close()
        return True

    def _round(self, x: Tensor, *, first: bool) -> Any:
        clocks = self.clocks
        if (first and self.zero == "top") or self.optimizer == "closure":
            self._zero()
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else nullcontext():
            y = self.model(x)
            clocks.tick("forward")
            if self.criterion:
                loss: Any = self.criterion_(y, x)
            else:
                sleep(0.001)
                loss = (y - x).square().mean()
        if self.log == "amid":
            loss.item()
        clocks.tick("loss")
        if first and self.zero == "before backward":
            self._zero()
        loss = self.scaler.scale(loss / self.micro)
        clocks.tick("loss")
        loss.backward()
        clocks.tick("backward")
        return loss

    def _zero(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.clocks.tick("other")

    def _update(self) -> None:
        clocks = self.clocks
        if self.clip:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
            clocks.tick("optimizer")
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            sleep(0.0005)
            clocks.tick("other")
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        clocks.tick("optimizer")
        if self.zero == "after":
            self._zero()

    def faults(self) -> Iterator[str]:
        """What was recorded otherwise than it was."""
        loop, clocks = watched(self.run).loop, self.clocks
        assert loop is not None
        done = [iteration for iteration in loop.iterations if iteration.finished]
        if len(done) != len(clocks.steps):
            yield f"{len(done)} steps for {len(clocks.steps)}"
            return
        if loop.evaluation_batches != clocks.evaluated:
            yield f"{loop.evaluation_batches} evaluation batches for {clocks.evaluated}"
        lengths = {iteration.timesteps for iteration in done[EXPLORED:]}
        if lengths != {(7,) * self.micro}:
            yield f"T {lengths} for {self.micro} times 7"
        for phase in PHASES if self.batches != "made" else PHASES[1:5]:
            ours = [iteration.phases_s.get(phase, 0.0) for iteration in done[EXPLORED:]]
            theirs = [step[phase] for step in clocks.steps[EXPLORED:]]
            pairs = list(zip(ours, theirs, strict=True))
            agree = sum(abs(a - b) <= max(SHARE * b, SECONDS) for a, b in pairs)
            if agree < MOSTLY * len(pairs):
                shown = " ".join(f"{a * 1e3:.2f}/{b * 1e3:.2f}" for a, b in pairs[:5])
                yield f"{phase} agrees in {agree} of {len(pairs)} steps: {shown} ms"


# Timesteps ------------------------------------------------------------------------------------

_MODULES = {
    "plain": ("a",), "all but one": ("a",), "stack": ("a", "b"), "one after another": ("a", "b"),
    "directions": ("a", "c"), "encoder and decoder": ("a", "d"), "twice": ("a",), "fused": (),
    "behind a convolution": ("a",), "fused behind a convolution": (),
}  # fmt: skip
#: Sorts whose modules are loops of their own, not parts of one.
_SEVERAL = ("one after another", "directions", "encoder and decoder")


class Cells(nn.Module):
    """A recurrence of one of the sorts."""

    def __init__(self, sort: str) -> None:
        super().__init__()
        self.sort = sort
        self.a, self.b, self.c, self.d = (nn.GRUCell(n, 8) for n in (4, 8, 4, 4))
        self.fused, self.out = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 4)
        self.halves = nn.Conv1d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        sort, h = self.sort, x.new_zeros(x.size(0), 8)
        if "convolution" in sort:
            x = self.halves(x.transpose(1, 2)).transpose(1, 2)
        if "fused" in sort:
            return self.out(self.fused(x)[0])  # type: ignore[no-any-return]
        states, g = [], h
        for t in range(x.size(1) - (sort == "all but one")):
            h = self.a(x[:, t], h)
            if sort == "twice":
                h = self.a(x[:, t], h)
            if sort == "stack":
                g = self.b(h, g)
            states.append(g if sort == "stack" else h)
        if sort == "one after another":
            states = list(self._over(self.b, states, g))
        if sort == "directions":
            back = list(self._over(self.c, x.unbind(1)[::-1], g))
            states = [one + other for one, other in zip(states, back[::-1], strict=True)]
        if sort == "encoder and decoder":
            states = list(self._over(self.d, y.unbind(1), h))
        return self.out(torch.stack(states, 1))  # type: ignore[no-any-return]

    @staticmethod
    def _over(cell: nn.Module, inputs: Any, state: Tensor) -> Iterator[Tensor]:
        for one in inputs:
            state = cell(one, state)
            yield state


def timestep_faults(seed: int) -> Iterator[str]:
    """What was recorded of a recurrence otherwise than it is."""
    chosen = random.Random(seed)
    sort, course = chosen.choice(list(_MODULES)), chosen.choice(["same", "any", "grows", "shrinks"])
    steps, same = 26, chosen.randint(9, 14)
    lengths = {
        "same": [same] * steps,
        "any": [chosen.randint(9, 24) for _ in range(steps)],
        "grows": [9 + step // 2 for step in range(steps)],
        "shrinks": [22 - step // 2 for step in range(steps)],
    }[course]
    batch = chosen.choice([3, 5, 31])

    def run() -> None:
        torch.manual_seed(seed)
        model = Cells(sort)
        optimizer = torch.optim.Adam(model.parameters())
        for length in lengths:
            optimizer.zero_grad()
            loss: Any = model(torch.randn(batch, length, 4), torch.randn(batch, length + 3, 4))
            loss.square().mean().backward()
            optimizer.step()

    trial = watched(run)
    assert trial.loop is not None
    about = f"{sort}, T {course}, batch {batch}: "
    seen = [iteration.timesteps for iteration in trial.loop.iterations if iteration.finished]
    right = [(_timesteps(sort, length),) for length in lengths]
    if seen != right:
        wrong = sum(a != b for a, b in zip(seen, right, strict=False))
        yield f"{about}T is wrong in {wrong} of {len(right)} steps: {seen[:6]} for {right[:6]}"
    if trial.loop.timestep_modules != _MODULES[sort]:
        yield f"{about}modules {trial.loop.timestep_modules} for {_MODULES[sort]}"
    loops = len(_MODULES[sort]) if sort in _SEVERAL else bool(_MODULES[sort])
    for latency in trial.latencies:
        if any(value is None or value <= 0 for value in latency.p50_s):
            yield f"{about}latencies of {latency.loop}, {latency.phase}: {latency.p50_s}"
    for step in (step for step in trial.steps if step.kind == "probed"):
        for phase in ("forward", "backward"):
            inside = [timing.host_s for timing in step.loops if timing.phase == phase]
            if len(inside) != loops or not sum(inside) < step.phases[phase].host_s:
                yield f"{about}loops of the {phase} take {inside} of {step.phases[phase].host_s}"


def _timesteps(sort: str, length: int) -> int:
    if "convolution" in sort:
        return (length + 1) // 2
    return length - (sort == "all but one")


def _choices(loop: Loop) -> dict[str, object]:
    return {k: v for k, v in vars(loop).items() if isinstance(v, (str, int)) and v}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", type=int, default=0, dest="first")
    args = parser.parse_args()
    wrong: Counter[str] = Counter()
    for seed in range(args.first, args.first + args.seeds):
        loop = Loop(seed)
        sorts = {"phases": loop.faults(), "timesteps": timestep_faults(seed)}
        for sort, faults in sorts.items():
            found = list(faults)
            wrong[sort] += bool(found)
            for fault in found:
                print(f"seed {seed}, {sort}: {fault}", _choices(loop) if sort == "phases" else "")
    for sort in ("phases", "timesteps"):
        print(f"{sort}: {args.seeds - wrong[sort]} of {args.seeds} loops as they are")


if __name__ == "__main__":
    main()
