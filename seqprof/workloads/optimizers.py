"""The optimizer that a spec names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from seqprof.errors import SeqprofError
from seqprof.spec import TrainSpec


def make_optimizer(train: TrainSpec, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the spec names, with torch's own defaults for what it leaves out."""
    options: dict[str, Any] = {"lr": train.learning_rate}
    if train.weight_decay is not None:
        options["weight_decay"] = train.weight_decay
    if train.momentum is not None:
        options["momentum"] = train.momentum
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise SeqprofError("the model has no parameter to train")
    return kinds[train.optimizer](parameters, **options)
