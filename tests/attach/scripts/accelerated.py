"""An LSTM cell on whatever accelerator there is, with work of the host in its forward.

`LAUNCHES=FILE` keeps how many kernels had been launched at the end of each phase of each step, and
at the beginning of each timestep, and how long each step took.
"""

import json
import os
import time
from pathlib import Path

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTMCell(8, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.size(0), 32)
        for part in x.unbind(1):
            note_timestep()
            h, c = self.cell(part, (h, c))
            time.sleep(0.001)  # the host's own work
        output: torch.Tensor = self.out(h)
        return output


ROWS: list[dict[str, int]] = []


TIMESTEPS: list[list[int]] = []


def note_timestep() -> None:
    if "LAUNCHES" in os.environ:
        if len(TIMESTEPS) < len(ROWS):
            TIMESTEPS.append([])
        TIMESTEPS[-1].append(torch.sim.counters()[0])  # type: ignore[attr-defined]


def note(phase: str, begins: bool = False) -> None:
    if "LAUNCHES" in os.environ:
        if begins:
            ROWS.append({})
        ROWS[-1][phase] = torch.sim.counters()[0]  # type: ignore[attr-defined]


def main() -> None:
    accelerator = torch.accelerator.current_accelerator()
    device = accelerator if accelerator is not None else torch.device("cpu")
    torch.manual_seed(0)
    model = Model().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    took = []
    for step in range(int(os.environ.get("STEPS", "12"))):
        began = time.perf_counter()
        x = torch.randn(4, 10, 8).to(device)
        note("data", begins=True)
        output = model(x)
        note("forward")
        loss = output.square().mean()
        note("loss")
        loss.backward()
        note("backward")
        optimizer.step()
        note("optimizer")
        optimizer.zero_grad()
        note("other")
        took.append(time.perf_counter() - began)
        if step % 4 == 3:
            print(step, loss.item())
    print("final loss", repr(loss.item()))
    if "LAUNCHES" in os.environ:
        noted = {"phases": ROWS, "timesteps": TIMESTEPS, "steps_s": took}
        Path(os.environ["LAUNCHES"]).write_text(json.dumps(noted))


if __name__ == "__main__":
    main()
