"""A GRU cell unrolled by hand: DataLoader, SGD, an evaluation now and then, its own clocks."""

import argparse
import json
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, outputs = torch.zeros(x.size(0), 32), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            outputs.append(self.out(h))
        return torch.stack(outputs, dim=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clocks")
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(88, 20, 4), torch.randn(88, 20, 4))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model, criterion = Model(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    step, rows = 0, []
    while step < args.steps:
        for x, y in loader:
            a = time.perf_counter()
            output = model(x)
            b = time.perf_counter()
            loss = criterion(output, y)
            c = time.perf_counter()
            optimizer.zero_grad()
            d = time.perf_counter()
            loss.backward()
            e = time.perf_counter()
            optimizer.step()
            f = time.perf_counter()
            row = {"forward": b - a, "backward": e - d, "optimizer": f - e, "loss": c - b}
            rows.append({**row, "at": a})
            step += 1
            if step % 5 == 0:
                model.eval()
                with torch.no_grad():
                    model(x)
                model.train()
            if step == args.steps:
                break
    print("final loss", repr(loss.item()))
    if args.clocks:
        with open(args.clocks, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
