"""A loop of one of several kinds that goes on for a while; it knows nothing of seqprof."""

import json
import os
import sys
import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks
from torch.utils.data import DataLoader, TensorDataset

kind, steps = sys.argv[1], int(sys.argv[2])
torch.manual_seed(3)
model = nn.GRU(4, 8, batch_first=True)
data = torch.randn(10 * 5, 6, 4)
if kind in ("optimizer", "fetch"):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 7)
loss = torch.zeros(())


def fetched() -> Iterator[torch.Tensor]:
    while True:
        yield from (x for (x,) in DataLoader(TensorDataset(data), batch_size=5))


batches = fetched() if kind == "fetch" else None
began = []
for _ in range(steps):
    began.append(time.perf_counter_ns())
    x = next(batches) if batches else data[:5]
    if kind == "inference":
        with torch.inference_mode():
            loss = model(x)[0].square().mean()
        continue
    loss = model(x)[0].square().mean()
    if kind == "grad":
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(0.1 * gradient)
        continue
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
if "CLOCKS" in os.environ:
    with open(os.environ["CLOCKS"], "w") as file:
        json.dump(began, file)
print("hooks left:", len(_global_optimizer_post_hooks), nn.Module.__call__.__qualname__)
print("final loss", repr(loss.item()))
