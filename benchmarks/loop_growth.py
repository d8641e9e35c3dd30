"""How an LSTMCell loop over ``unbind`` grows with T, timed without seqprof.

What `benchmarks/compare.py sliced` finds of the same model is to be held against this.

    python benchmarks/loop_growth.py --batch 16
"""

from __future__ import annotations

import argparse
import gc
import sys
from math import log
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from compare_models import unbound

LENGTHS = (256, 512, 1024, 2048)
ROUNDS = 9


def timed_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, tokens: torch.Tensor, targets: torch.Tensor
) -> tuple[float, float, float]:
    """Seconds of the forward with its loss, of the backward, and of the step."""
    start = perf_counter()
    loss = cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    computed = perf_counter()
    loss.backward()  # type: ignore[no-untyped-call]
    walked = perf_counter()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return computed - start, walked - computed, perf_counter() - start


def main() -> None:
    """Print microseconds per timestep at each length and the exponent from first to last."""
    parser = argparse.ArgumentParser(description="growth of a loop, without seqprof")
    parser.add_argument("--batch", type=int, default=16)
    batch = parser.parse_args().batch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = unbound()
    optimizer = torch.optim.Adam(model.parameters())
    gc.disable()
    taken: dict[int, list[tuple[float, float, float]]] = {timesteps: [] for timesteps in LENGTHS}
    for _ in range(ROUNDS):
        for timesteps in LENGTHS:
            tokens, targets = torch.randint(256, (2, batch, timesteps))
            timed_step(model, optimizer, tokens, targets)  # after another length: settle
            taken[timesteps].append(timed_step(model, optimizer, tokens, targets))
    for index, phase in enumerate(("forward", "backward", "step")):
        medians = [
            float(np.median([step[index] for step in taken[timesteps]])) for timesteps in LENGTHS
        ]
        exponent = log(medians[-1] / medians[0]) / log(LENGTHS[-1] / LENGTHS[0])
        each = ", ".join(
            f"{time / length * 1e6:.1f}" for time, length in zip(medians, LENGTHS, strict=True)
        )
        print(f"{phase}: {each} µs per timestep, T^{exponent:.2f}")


if __name__ == "__main__":
    main()
