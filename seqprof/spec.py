"""The YAML spec as pydantic models: what is trained, on what, how, and how it is measured.

The models here are plain data, free of torch, and each checks its own values only. What cannot go
together is in ``spec_checks.py``; reading YAML, locating errors in it and ``--set`` in
``spec_file.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: No size in a spec can be larger; torch's own limit is not far above.
LARGEST = 2**31 - 1
#: What `model.heads` is when it is not given.
DEFAULT_HEADS = 4

Target = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"),
    Field(
        description="package.module:function, also found next to the config file",
        examples=["package.module:function"],
    ),
]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]


class _Part(BaseModel):
    """A mapping that refuses unknown keys and silent conversions, and cannot be changed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # `schema spec` never validates; do not build what it does not use
    )


class ModelSpec(_Part):
    """Which model. Give either `name` (see `seqprof list`) or `target`."""

    name: str | None = Field(
        default=None, description="a built-in family: rnn, lstm, gru, attention …"
    )
    target: Target | None = Field(
        default=None, description="your own nn.Module: package.module:factory"
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments for the target's factory"
    )
    execution: Literal["cell", "fused", "parallel", "chunked", "sequential"] | None = Field(
        default=None,
        description="cell: a module called once per timestep; fused: nn.LSTM and its like; "
        "parallel: all timesteps at once; chunked: chunks at once, one after another; sequential: "
        "a parallel model's recurrence as a loop (default: fused or parallel)",
    )
    input_size: Positive | None = Field(
        default=None,
        description="features per timestep into the first layer (default: hidden_size)",
    )
    hidden_size: Positive = Field(
        default=256, description="features of the hidden state, per layer"
    )
    layers: Positive = Field(default=1, description="layers stacked on each other")
    bidirectional: bool = Field(
        default=False, description="also read the sequence backwards; rnn, lstm and gru"
    )
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="between layers")
    nonlinearity: Literal["tanh", "relu"] | None = Field(default=None, description="rnn only")
    heads: Positive | None = Field(
        default=None,
        description="heads of attention-like families, xLSTM and scalar mamba (default: 4)",
    )
    projection: Positive | None = Field(
        default=None, description="lstm only: h projected to so many features (LSTMP, proj_size)"
    )
    state_size: Positive | None = Field(
        default=None,
        description="states N: of the layer in ssm (default: hidden_size), per feature in mamba "
        "(default: 16)",
    )
    transition: Literal["full", "scalar"] | None = Field(
        default=None,
        description="mamba only. full: a decay per feature and state (Mamba); scalar: one per "
        "head (Mamba-2) (default: full)",
    )
    chunk: Positive | None = Field(
        default=None, description="timesteps per chunk of the chunked execution (default: 64)"
    )
    kernel_size: Positive | None = Field(
        default=None, description="tcn only: timesteps that a convolution sees (default: 3)"
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description="transformers only: `model_type` and what else its configuration class takes",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options that a family from another package brings"
    )
    head: Literal["auto", "language_model", "classification", "regression"] = Field(
        default="auto", description="what is predicted (default: what suits the data and the model)"
    )


class LengthsSpec(_Part):
    """How long the sequences of a batch are."""

    distribution: Literal["fixed", "uniform", "normal"] = Field(
        default="fixed", description="fixed: all seq_len long; otherwise drawn, at most seq_len"
    )
    minimum: Positive | None = Field(
        default=None, description="shortest sequence (default: seq_len / 8)"
    )
    mean: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="normal only (default: halfway from minimum to seq_len)"
    )
    deviation: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="normal only (default: a sixth of seq_len - minimum)"
    )
    layout: Literal["padded", "packed"] = Field(
        default="padded", description="packed: no padding is computed; rnn, lstm and gru only"
    )


class DataSpec(_Part):
    """What it is trained on."""

    kind: Literal["text", "csv", "synthetic"] | None = Field(
        default=None, description="default: text, unless a target is given"
    )
    target: Target | None = Field(
        default=None,
        description="your own iterable of (inputs, targets) batches: package.module:function",
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments for the target")
    time_dim: Annotated[int, Field(ge=0, le=4)] | None = Field(
        default=None,
        description="own data: dimension of T in the inputs; 1 for [B, T], 0 for [T, B], 2 for "
        "[B, C, T] (default: read from lengths, the model's layers and its output)",
    )
    path: str | None = Field(
        default=None,
        description="text: a file or folder (default: Python's standard library); csv: a file. "
        "Relative to the config file",
    )
    seq_len: Annotated[int, Field(ge=2, le=LARGEST)] = Field(
        default=256, description="T, timesteps per sequence"
    )
    batch_size: Positive = Field(default=16, description="B, sequences per (micro-)batch")
    columns: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="csv: numeric columns (default: all)",
        examples=[["temp_max", "wind"]],
    )
    horizon: Positive | None = Field(default=None, description="csv: timesteps ahead (default: 1)")
    missing: Literal["error", "fill", "drop", "interpolate"] | None = Field(
        default=None,
        description="csv: what becomes of gaps (empty, ?, NaN, NA …): error: refused; fill: the "
        "value before; interpolate: between its neighbours; drop: the row (default: error)",
    )
    group: str | None = Field(
        default=None,
        description="csv: column that names the series of a row, where several are stacked; no "
        "window goes from one to the next",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="csv: decimal mark of its numbers (default: found)"
    )
    header: bool | None = Field(
        default=None, description="csv: whether the first line names the columns (default: found)"
    )
    encoding: str | None = Field(
        default=None,
        description="csv and text: utf-8, latin-1, cp1252, utf-16 … (default: found)",
        examples=["latin-1"],
    )
    task: Literal["copy", "random"] | None = Field(
        default=None, description="synthetic (default: copy)"
    )
    vocabulary: Annotated[int, Field(ge=2, le=LARGEST)] | None = Field(
        default=None, description="synthetic: number of tokens (default: 64)"
    )
    lengths: LengthsSpec = Field(default=LengthsSpec(), description="how long the sequences are")


class BpttSpec(_Part):
    """Backpropagation through time."""

    truncate: Positive | None = Field(
        default=None,
        description="backpropagate over chunks of this many timesteps, state carried on",
    )
    update: Literal["chunk", "sequence"] | None = Field(
        default=None,
        description="update after each chunk, or once after the whole sequence (default: sequence)",
    )
    carry: bool | None = Field(
        default=None,
        description="whether the state goes on from batch to batch too, as in a stream of text "
        "(default: false)",
    )


class TrainSpec(_Part):
    """How a training step goes."""

    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="adam", description="torch.optim's")
    learning_rate: float = Field(default=1e-3, gt=0, description="of the optimizer")
    momentum: float | None = Field(default=None, ge=0, lt=1, description="sgd only (default: 0)")
    weight_decay: float | None = Field(
        default=None, ge=0, description="of the optimizer (default: torch's own)"
    )
    clip_norm: float | None = Field(
        default=None, gt=0, description="gradient clipping by global norm"
    )
    accumulate: Positive = Field(default=1, description="micro-batches per step")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="bf16, fp16: autocast; fp16 also scales the loss"
    )
    loss: Literal["auto", "cross_entropy", "mse"] | Target = Field(
        default="auto",
        description="auto (also the model's own), cross_entropy, mse, or package.module:function("
        "output, targets)",
    )
    step: Target | None = Field(
        default=None,
        description="your own training step, package.module:function(model, batch) -> loss or "
        "{'loss': …}; seqprof calls backward and the optimizer",
    )
    bptt: BpttSpec = Field(default=BpttSpec(), description="backpropagation through time")
    checkpoint: bool = Field(
        default=False, description="activation checkpointing (built-in models)"
    )
    compile: bool = Field(
        default=False, description="torch.compile, tried within compile_timeout_s"
    )
    compile_timeout_s: float = Field(
        default=120.0, gt=0, description="after this time the run goes on uncompiled"
    )
    seed: int = Field(default=0, ge=0, le=LARGEST, description="of weights and data")


class TimestepsSpec(_Part):
    """Which timesteps are marked."""

    enabled: bool = Field(default=True, description="false: bare steps only")
    module: str | Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None,
        description="path of the submodule that is called along the sequence, or a list of several "
        "(default: found)",
    )
    budget: float = Field(default=0.01, gt=0, le=1, description="how much marks may slow a step")
    stride: Literal["auto"] | Positive = Field(
        default="auto", description="mark every k-th timestep, rotating (default: by the budget)"
    )


class MeasureSpec(_Part):
    """How it is measured."""

    device: str = Field(
        default="auto",
        pattern=r"^(auto|[a-z]+(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 …",
        examples=["auto", "cpu", "cuda:1"],
    )
    threads: Positive | Literal["free"] | None = Field(
        default=None,
        description="torch threads (default: torch's own); free: as many as there are processors "
        "that no other program uses when the measuring begins",
    )
    warmup: Positive = Field(default=3, description="steps before anything is recorded")
    pairs: Positive = Field(default=20, description="pairs of one bare and one probed step")
    max_s: float = Field(
        default=15.0,
        gt=0,
        description="stop taking pairs after this time, and warming up likewise; one of each is "
        "always taken, but a first step of 20 times as long is a hang",
    )
    timesteps: TimestepsSpec = Field(
        default=TimestepsSpec(), description="which timesteps are marked"
    )
    sweep: bool = Field(
        default=True, description="derive the marginal cost where no timestep is marked"
    )
    dwell_s: float = Field(default=2.0, gt=0, description="how long a phase is repeated for NVML")
    dwell_samples: Positive = Field(default=3, description="fresh NVML samples a dwell needs")
    profile: Literal["auto"] | bool = Field(
        default="auto",
        description="steps under torch.profiler besides (auto: where it records kernels, and with "
        "--trace)",
    )
    profile_steps: Annotated[int, Field(ge=1, le=50)] = Field(
        default=3, description="profiled steps; two more are run before them"
    )
    sample_interval_s: float = Field(default=0.05, ge=0.05, le=1.0, description="NVML polling")


class Spec(_Part):
    """A whole experiment. Every field has a default except the model."""

    model: ModelSpec = Field(description="which model")
    data: DataSpec = Field(default=DataSpec(), description="what it is trained on")
    train: TrainSpec = Field(default=TrainSpec(), description="how a training step goes")
    measure: MeasureSpec = Field(default=MeasureSpec(), description="how it is measured")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, for editors and other programs."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **Spec.model_json_schema(), "title": "seqprof spec"}
