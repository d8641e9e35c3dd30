"""The model families: one entry each. Importing this file does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from seqprof.errors import SeqprofError
from seqprof.suggest import did_you_mean

if TYPE_CHECKING:
    from seqprof.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Growth:
    """How one form of a family grows with T, in words; C is the timesteps per chunk.

    Attributes:
        form: an execution, or an execution with another option.
        parallel: whether all timesteps are computed at once.
        depth: the longest chain of dependent operations.
        work: the arithmetic.
    """

    form: str
    parallel: str
    depth: str
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of sequence model.

    Attributes:
        name: what a spec's ``model.name`` says.
        recurrence: the equation, as a user would recognise it.
        executions: the forms it can run in; empty where there is but one.
        parallel_over_time: whether all timesteps can be computed at once; None where the spec's
            other keys decide it.
        builder: ``module:function`` taking ``(ModelSpec, input_size)`` and returning a
            :class:`seqprof.workloads.body.Body`, which maps ``[B, T, input_size]`` to
            ``[B, T, output_size]``.
        options: names of the optional ``ModelSpec`` fields that mean something to it.
        causal: whether the output at t depends on inputs up to t only (when not bidirectional).
        growth: how each form grows with T; empty where it is not stated.
        entry_size: ``module:function`` taking a ``ModelSpec`` and returning the default
            ``input_size`` where that is not ``hidden_size``.
    """

    name: str
    recurrence: str
    executions: tuple[str, ...]
    parallel_over_time: bool | None
    builder: str
    options: frozenset[str] = frozenset()
    causal: bool = True
    growth: tuple[Growth, ...] = ()
    entry_size: str | None = None

    @property
    def default_execution(self) -> str | None:
        """The form it runs in when the spec names none; None where there is but one."""
        if "fused" in self.executions:
            return "fused"
        return self.executions[0] if self.executions else None

    def load_builder(self) -> Callable[..., Any]:
        """Import the builder (and with it torch)."""
        return _load(self.builder)

    def find_entry_size(self, model: ModelSpec) -> int:
        """Return the features per timestep that its first layer takes."""
        if model.input_size is not None:
            return model.input_size
        return model.hidden_size if self.entry_size is None else _load(self.entry_size)(model)


def _load(path: str) -> Callable[..., Any]:
    module, _, function = path.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


_RECURRENT = "seqprof.workloads.recurrent:build"
_ATTENTION = "seqprof.workloads.attention:build"
_SCANNED = ("parallel", "sequential")
_IN_CHUNKS = ("parallel", "chunked")
_GROWS_RECURRENT = (Growth("cell", "no", "T", "T"), Growth("fused", "no", "T", "T"))
_GROWS_ATTENTION = (Growth("one", "yes", "constant", "T²"),)
_GROWS_SCANNED = (Growth("parallel", "yes", "log T", "T"), Growth("sequential", "no", "T", "T"))
_GROWS_IN_CHUNKS = (
    Growth("parallel", "yes", "constant", "T²"),
    Growth("chunked", "in chunks", "T/C", "T·C"),
)

_BUILT_IN = (
    Family(
        name="rnn",
        recurrence="h_t = φ(W x_t + U h_{t-1} + b)",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional", "nonlinearity"}),
        growth=_GROWS_RECURRENT,
    ),
    Family(
        name="lstm",
        recurrence="c_t = f⊙c_{t-1} + i⊙g; h_t = o⊙tanh c_t",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional", "projection"}),
        growth=_GROWS_RECURRENT,
    ),
    Family(
        name="gru",
        recurrence="n = tanh(W x_t + r⊙(U h_{t-1})); h_t = (1-z)⊙n + z⊙h_{t-1}",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional"}),
        growth=_GROWS_RECURRENT,
    ),
    Family(
        name="attention",
        recurrence="none: softmax(QKᵀ/√d)V over earlier timesteps",
        executions=(),
        parallel_over_time=True,
        builder=_ATTENTION,
        options=frozenset({"heads"}),
        growth=_GROWS_ATTENTION,
    ),
    Family(
        name="encoder",
        recurrence="none: softmax(QKᵀ/√d)V over all timesteps",
        executions=(),
        parallel_over_time=True,
        builder=_ATTENTION,
        options=frozenset({"heads"}),
        growth=_GROWS_ATTENTION,
        causal=False,
    ),
    Family(
        name="linear-attention",
        recurrence="S_t = S_{t-1} + φ(k_t) v_tᵀ; o_t = S_tᵀ φ(q_t) / (z_tᵀ φ(q_t))",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.linear_attention:build",
        options=frozenset({"execution", "heads", "chunk"}),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="retention",
        recurrence="S_t = γ S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.retention:build",
        options=frozenset({"execution", "heads", "chunk"}),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="mingru",
        recurrence="h_t = (1-z(x_t))⊙h_{t-1} + z(x_t)⊙h̃(x_t)",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.mingru:build",
        options=frozenset({"execution"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="minlstm",
        recurrence="f′ = f/(f+i); i′ = i/(f+i); h_t = f′⊙h_{t-1} + i′⊙h̃(x_t)",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.minlstm:build",
        options=frozenset({"execution"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="ssm",
        recurrence="h_t = Λ h_{t-1} + γ⊙B x_t; y_t = Re(C h_t) + D⊙x_t; Λ diagonal, complex",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.ssm:build",
        options=frozenset({"execution", "state_size"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="mamba",
        recurrence="h_t = exp(Δ_t A)⊙h_{t-1} + Δ_t B_t x_t; y_t = C_t h_t + D⊙x_t",
        executions=("parallel", "chunked", "sequential"),
        parallel_over_time=True,
        builder="seqprof.workloads.mamba:build",
        options=frozenset({"execution", "state_size", "transition", "heads", "chunk"}),
        growth=(
            *_GROWS_SCANNED,
            Growth("parallel, scalar", "yes", "constant", "T²"),
            Growth("chunked, scalar", "in chunks", "T/C", "T·C"),
        ),
    ),
    Family(
        name="slstm",
        recurrence="c_t = f⊙c_{t-1} + i⊙z; n_t = f⊙n_{t-1} + i; h_t = o⊙c_t/n_t; "
        "gates from x_t and h_{t-1}, i = exp",
        executions=("cell",),
        parallel_over_time=False,
        builder="seqprof.workloads.slstm:build",
        options=frozenset({"execution", "heads"}),
        growth=(Growth("cell", "no", "T", "T"),),
    ),
    Family(
        name="mlstm",
        recurrence="C_t = f C_{t-1} + i v_t k_tᵀ; n_t = f n_{t-1} + i k_t; "
        "h_t = o⊙(C_t q_t) / max(|n_tᵀ q_t|, 1)",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.mlstm:build",
        options=frozenset({"execution", "heads", "chunk"}),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="tcn",
        recurrence="none: convolutions over the last k timesteps, 2^l apart in layer l",
        executions=(),
        parallel_over_time=True,
        builder="seqprof.workloads.tcn:build",
        options=frozenset({"kernel_size"}),
        growth=(Growth("one", "yes", "constant", "T"),),
    ),
    Family(
        name="transformers",
        recurrence="any Hugging Face architecture, by model.config (extra: transformers)",
        executions=(),
        parallel_over_time=None,
        builder="seqprof.workloads.transformers_model:build",
        options=frozenset({"config"}),
        growth=(Growth("one", "depends", "depends", "depends"),),
        entry_size="seqprof.workloads.transformers_model:entry_size",
    ),
)


def families() -> dict[str, Family]:
    """Return every known family by name, third parties' (entry point ``seqprof.workloads``) last.

    An entry point names a :class:`Family`; a built-in name cannot be replaced.

    Raises:
        SeqprofError: an entry point cannot be loaded, or names something else.
    """
    known = {family.name: family for family in _BUILT_IN}
    for point in entry_points(group="seqprof.workloads"):
        origin = f"entry point {point.name!r} of {point.dist.name if point.dist else '?'}"
        try:
            family = point.load()
        except Exception as error:
            raise SeqprofError(
                f"{origin} cannot be loaded: {type(error).__name__}: {error}",
                "repair or uninstall that package",
            ) from error
        if not isinstance(family, Family):
            raise SeqprofError(f"{origin} is a {type(family).__name__}, not a seqprof Family")
        known.setdefault(family.name, family)
    return known


def find_family(name: str) -> Family:
    """Return the family called ``name``.

    Raises:
        SeqprofError: there is none.
    """
    known = families()
    if name not in known:
        raise SeqprofError(f"model.name: unknown model {name!r}{did_you_mean(name, known)}")
    return known[name]


def is_causal(model: ModelSpec) -> bool:
    """Whether the output at t depends on inputs up to t only; assumed of a user's own model."""
    return model.name is None or (find_family(model.name).causal and not model.bidirectional)
