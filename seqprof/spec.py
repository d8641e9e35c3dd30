"""The YAML spec as pydantic models: what is trained, on what, how, and how it is measured.

The models here are plain data, free of torch. Reading YAML, locating errors in it and applying
``--set`` is in ``spec_file.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Target = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"),
    Field(description="package.module:function, also found next to the config file"),
]
Positive = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    """A mapping that refuses unknown keys and silent conversions, and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSpec(_Part):
    """Which model. Give either `name` (see `seqprof list`) or `target`."""

    name: str | None = Field(None, description="a built-in family: rnn, lstm, gru, attention …")
    target: Target | None = Field(None, description="your own nn.Module: package.module:factory")
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments for the target's factory"
    )
    execution: Literal["cell", "fused"] | None = Field(
        None,
        description="cell: an nn.*Cell called once per timestep; fused: nn.LSTM and its like "
        "(default: fused). Recurrent families only",
    )
    input_size: Positive | None = Field(
        None, description="features per timestep into the first layer (default: hidden_size)"
    )
    hidden_size: Positive = 256
    layers: Positive = 1
    bidirectional: bool = False
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="between layers")
    nonlinearity: Literal["tanh", "relu"] | None = Field(None, description="rnn only")
    heads: Positive | None = Field(
        None, description="attention heads (default: 4); attention and encoder only"
    )
    head: Literal["auto", "language_model", "classification", "regression"] = Field(
        "auto", description="what is predicted (default: what suits the data and the model)"
    )


class LengthsSpec(_Part):
    """How long the sequences of a batch are."""

    distribution: Literal["fixed", "uniform", "normal"] = "fixed"
    minimum: Positive | None = Field(None, description="shortest sequence (default: seq_len / 8)")
    mean: Annotated[float, Field(gt=0)] | None = Field(None, description="normal only")
    deviation: Annotated[float, Field(gt=0)] | None = Field(None, description="normal only")
    layout: Literal["padded", "packed"] = "padded"


class DataSpec(_Part):
    """What it is trained on."""

    kind: Literal["text", "csv", "synthetic"] | None = Field(
        None, description="default: text, unless a target is given"
    )
    target: Target | None = Field(
        None, description="your own iterable of (inputs, targets) batches: package.module:function"
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments for the target")
    path: str | None = Field(
        None,
        description="text: a file or folder (default: Python's standard library); csv: a file. "
        "Relative to the config file",
    )
    seq_len: Positive = Field(256, description="T, timesteps per sequence")
    batch_size: Positive = 16
    columns: list[str] | None = Field(None, description="csv: numeric columns (default: all)")
    horizon: Positive | None = Field(None, description="csv: timesteps ahead (default: 1)")
    task: Literal["copy", "random"] | None = Field(None, description="synthetic (default: copy)")
    vocabulary: Annotated[int, Field(ge=2)] | None = Field(
        None, description="synthetic: number of tokens (default: 64)"
    )
    lengths: LengthsSpec = LengthsSpec()


class BpttSpec(_Part):
    """Backpropagation through time."""

    truncate: Positive | None = Field(
        None, description="backpropagate over chunks of this many timesteps, state carried on"
    )


class TrainSpec(_Part):
    """How a training step goes."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float | None = Field(None, ge=0, lt=1, description="sgd only")
    weight_decay: float | None = Field(None, ge=0)
    clip_norm: float | None = Field(None, gt=0, description="gradient clipping by global norm")
    accumulate: Positive = Field(1, description="micro-batches per step")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    loss: Literal["auto", "cross_entropy", "mse"] | Target = Field(
        "auto", description="auto, cross_entropy, mse, or package.module:function(output, target)"
    )
    bptt: BpttSpec = BpttSpec()
    checkpoint: bool = Field(False, description="activation checkpointing")
    compile: bool = Field(False, description="torch.compile, tried within compile_timeout_s")
    compile_timeout_s: float = Field(120.0, gt=0)
    seed: int = Field(0, ge=0)


class TimestepsSpec(_Part):
    """Which timesteps are marked."""

    enabled: bool = True
    module: str | None = Field(
        None, description="path of the submodule called once per timestep (default: found)"
    )
    budget: float = Field(0.01, gt=0, le=1, description="how much marks may slow a step")
    stride: Literal["auto"] | Positive = Field(
        "auto", description="mark every k-th timestep, rotating (default: by the budget)"
    )


class MeasureSpec(_Part):
    """How it is measured."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|[a-z]+(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 …",
    )
    threads: Positive | None = Field(None, description="torch threads (default: torch's own)")
    warmup: Positive = Field(3, description="steps before anything is recorded")
    pairs: Positive = Field(20, description="pairs of one bare and one probed step")
    max_s: float = Field(
        15.0, gt=0, description="stop taking pairs after this time (never before 3 pairs)"
    )
    timesteps: TimestepsSpec = TimestepsSpec()
    sweep: bool = Field(True, description="derive the marginal cost where no timestep is marked")
    dwell_s: float = Field(2.0, gt=0, description="how long a phase is repeated for NVML")
    dwell_samples: Positive = Field(3, description="fresh NVML samples a dwell needs")
    sample_interval_s: float = Field(0.05, ge=0.05, le=1.0, description="NVML polling")


class Spec(_Part):
    """A whole experiment. Every field has a default except the model."""

    model: ModelSpec
    data: DataSpec = DataSpec()
    train: TrainSpec = TrainSpec()
    measure: MeasureSpec = MeasureSpec()
