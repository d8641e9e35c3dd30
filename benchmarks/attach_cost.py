"""What the hooks of `seqprof.profile` cost a loop, measured inside one process, in alternation.

::

    python benchmarks/attach_cost.py [--device cuda]

Steps of about 0.3, 1.4 and 20 ms, in blocks: unhooked, hooked (no marks and no CPU clocks: what a
bounded step has), after the window. Only blocks that alternate within one process can show 20 µs
a step. On an accelerator a step lasts from an idle device to an idle device.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from device_clock import add_device
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from seqprof.attach.agent import Agent
from seqprof.attach.options import AttachOptions
from seqprof.attach.session import Session
from seqprof.instruments.clocks import synchronize

#: Width and batch of a model whose step takes about so many ms on one core.
SIZES = {0.3: (32, 16), 1.4: (256, 64), 20.0: (1024, 256)}


class Loop:
    """A loop with everything that has a hook: loader, zero_grad, root, backward, optimizer."""

    def __init__(self, width: int, batch: int, device: torch.device) -> None:
        self._device = device
        layers = nn.Linear(32, width), nn.Tanh(), nn.Linear(width, width)
        self.model = nn.Sequential(*layers).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self._loader = DataLoader(TensorDataset(torch.randn(4096 * 4, 32)), batch_size=batch)
        self._batches = iter(self._loader)

    def step(self) -> float:
        """One step; returns its seconds."""
        start = time.perf_counter()
        try:
            (x,) = next(self._batches)
        except StopIteration:
            self._batches = iter(self._loader)
            (x,) = next(self._batches)
        self.optimizer.zero_grad()
        loss = self.model(x.to(self._device)).square().mean()
        loss.backward()
        self.optimizer.step()
        synchronize(self._device)
        return time.perf_counter() - start


# All steps are bounded: nothing but stamps.
setattr(Session, "kind_of", lambda _session, _number: 0)  # noqa: B010


class Hooks:
    """The agent, kept in bounded iterations for as long as it is on."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._agent = Agent(AttachOptions(folder=self._folder.name, steps=1 << 40, timesteps=False))
        self._agent.session.made.add(optimizer)
        self._agent.attach()

    def close(self) -> None:
        self._agent.session.close("the block is over")
        self._folder.cleanup()


def blocks(loop: Loop, steps: int) -> Iterator[tuple[str, float]]:
    """One block of each sort: its median step."""
    yield "unhooked", median(loop.step() for _ in range(steps))
    hooks = Hooks(loop.optimizer)
    for _ in range(8):  # the loop is explored
        loop.step()
    yield "hooked", median(loop.step() for _ in range(steps))
    hooks.close()
    yield "after", median(loop.step() for _ in range(steps))


def measure(
    width: int, batch: int, rounds: int, steps: int, device: torch.device
) -> dict[str, list[float]]:
    """Medians of each block over ``rounds``."""
    loop = Loop(width, batch, device)
    for _ in range(20):
        loop.step()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for sort, seconds in blocks(loop, steps):
            found.setdefault(sort, []).append(seconds)
    return found


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each block")
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("step        unhooked      hooks cost   after the window")
    for named, (width, batch) in SIZES.items():
        steps = max(10, int(args.seconds / named * 1e3))
        found: Any = measure(width, batch, args.rounds, steps, args.device)
        pairs = list(zip(found["unhooked"], found["hooked"], found["after"], strict=True))
        cost = median(hooked - bare for bare, hooked, _ in pairs)
        after = median(late / bare - 1 for bare, _, late in pairs)
        base = median(found["unhooked"])
        print(f"{named:4} ms  {base * 1e6:9.1f} µs  {cost * 1e6:+9.1f} µs      {after:+.2%}")


if __name__ == "__main__":
    main()
