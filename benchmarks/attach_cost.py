"""What the hooks of `seqprof.profile` cost a loop, measured inside one process, in alternation.

::

    python benchmarks/attach_cost.py [--device cuda]

Steps of about 0.3, 1.4 and 20 ms, in short blocks: unhooked, hooked (no marks and no CPU clocks:
what a bounded step has), after the window, unhooked twice. Each is held against the unhooked blocks
around it, *a block later* too: what is left then is left for good; the control is an unhooked block
between two more. Only blocks that alternate within one
process can show 20 µs a step. On an accelerator a step lasts from an idle device to an idle device.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from math import ceil, sqrt
from statistics import median

import torch
from device_clock import add_device
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from seqprof.attach import session
from seqprof.attach.agent import Agent
from seqprof.attach.options import AttachOptions
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
setattr(session, "kind_of", lambda _number, _warmup: 0)  # noqa: B010


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


#: Steps at the start of a block that are not counted: the caches are another block's.
SETTLING = 4


def block(loop: Loop, steps: int) -> float:
    """Median step of one block."""
    times = [loop.step() for _ in range(steps + SETTLING)]
    return median(times[SETTLING:])


def measure(
    width: int, batch: int, rounds: int, steps: int, device: torch.device
) -> dict[str, list[float]]:
    """Differences to the unhooked blocks around, in seconds, and the unhooked blocks themselves."""
    loop = Loop(width, batch, device)
    bare = [block(loop, max(20, steps))]
    blocks: dict[str, list[float]] = {"cost": [], "after": [], "later": [], "control": []}
    for _ in range(rounds):
        bare[-1] = block(loop, steps)
        hooks = Hooks(loop.optimizer)
        for _ in range(8):  # the loop is explored
            loop.step()
        hooked = block(loop, steps)
        hooks.close()
        late, bare_again, control = (block(loop, steps) for _ in range(3))
        around = (bare[-1] + bare_again) / 2
        blocks["cost"].append(hooked - around)
        blocks["after"].append(late - around)
        blocks["later"].append(bare_again - (bare[-1] + control) / 2)
        blocks["control"].append(bare_again - (late + control) / 2)
        bare.append(control)
    return {**blocks, "unhooked": bare}


def with_interval(differences: list[float]) -> tuple[float, float]:
    """Median, and half the width of what holds it with 95 %, by its order statistics."""
    ordered, n = sorted(differences), len(differences)
    reach = ceil(0.98 * sqrt(n))
    low, high = ordered[max(0, n // 2 - reach)], ordered[min(n - 1, n // 2 + reach)]
    return median(ordered), (high - low) / 2


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.02, help="of each block")
    parser.add_argument("--sizes", type=float, nargs="*", choices=SIZES, help="only these steps")
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "step      unhooked         hooks cost      after the window      a block later"
        "            control"
    )
    for named, (width, batch) in SIZES.items():
        if args.sizes and named not in args.sizes:
            continue
        steps = max(4, int(args.seconds / named * 1e3))
        blocks = measure(width, batch, args.rounds, steps, args.device)
        base = median(blocks["unhooked"])
        cost, cost_pm = with_interval(blocks["cost"])
        print(
            f"{named:4} ms {base * 1e6:9.1f} µs  {cost * 1e6:+6.1f} ±{cost_pm * 1e6:5.1f} µs",
            end="",
        )
        for sort in ("after", "later", "control"):
            value, reach = with_interval(blocks[sort])
            print(f"    {value / base:+.2%} ± {reach / base:.2%}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
