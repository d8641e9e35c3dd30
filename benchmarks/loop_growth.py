"""How an LSTMCell loop over ``unbind`` grows with T, timed without seqprof.

What `benchmarks/compare.py sliced` finds of the same model is to be held against this.

    python benchmarks/loop_growth.py --batch 16 [--rounds 9] [--device cuda]
"""

from __future__ import annotations

import argparse
import gc
import sys
from math import log
from pathlib import Path

import numpy as np
import torch
from device_clock import DeviceClock, add_device
from torch import nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from compare_models import unbound

LENGTHS = (256, 512, 1024, 2048)


def timed_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tokens: torch.Tensor,
    targets: torch.Tensor,
    clock: DeviceClock,
) -> tuple[float, float, float]:
    """Seconds of the forward with its loss, of the backward, and of the step."""
    clock.begin()
    start = clock.stamp()
    loss = cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    computed = clock.stamp()
    loss.backward()  # type: ignore[no-untyped-call]
    walked = clock.stamp()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    done = clock.stamp()
    spans = (start, computed), (computed, walked), (start, done)
    forward, backward, step = (clock.seconds(*span) for span in spans)
    return forward, backward, step


def main() -> None:
    """Print microseconds per timestep at each length and the exponent from first to last."""
    parser = argparse.ArgumentParser(description="growth of a loop, without seqprof")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    add_device(parser)
    options = parser.parse_args()
    clock, lengths = DeviceClock(options.device), options.lengths
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = unbound().to(options.device)
    optimizer = torch.optim.Adam(model.parameters())
    gc.disable()
    taken: dict[int, list[tuple[float, float, float]]] = {timesteps: [] for timesteps in lengths}
    for _ in range(options.rounds):
        for timesteps in lengths:
            drawn = torch.randint(256, (2, options.batch, timesteps))
            tokens, targets = drawn.to(options.device)
            timed_step(model, optimizer, tokens, targets, clock)  # after another length: settle
            taken[timesteps].append(timed_step(model, optimizer, tokens, targets, clock))
    for index, phase in enumerate(("forward", "backward", "step")):
        medians = [
            float(np.median([step[index] for step in taken[timesteps]])) for timesteps in lengths
        ]
        exponent = log(medians[-1] / medians[0]) / log(lengths[-1] / lengths[0])
        each = ", ".join(
            f"{time / length * 1e6:.1f}" for time, length in zip(medians, lengths, strict=True)
        )
        print(f"{phase}: {each} µs per timestep, T^{exponent:.2f}")


if __name__ == "__main__":
    main()
