"""The model families: one entry each. Importing this file does not import torch."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from seqprof.errors import SeqprofError
from seqprof.suggest import did_you_mean
from seqprof.workloads.family import Family, FamilyGrowth, Option
from seqprof.workloads.family_checks import (
    all_in_config,
    chunk_needs_chunks,
    heads_divide,
    heads_divide_into_pairs,
    projection_is_smaller,
    transition_fits,
)

if TYPE_CHECKING:
    from seqprof.spec import ModelSpec


__all__ = ["Family", "FamilyGrowth", "Option", "families", "find_family", "is_causal"]

_RECURRENT = "seqprof.workloads.families.recurrent:build"
_ATTENTION = "seqprof.workloads.families.attention:build"
_SCANNED = ("parallel", "sequential")
_IN_CHUNKS = ("parallel", "chunked")
_GROWS_RECURRENT = (FamilyGrowth("cell", "no", "T", "T"), FamilyGrowth("fused", "no", "T", "T"))
_GROWS_ATTENTION = (FamilyGrowth("one", "yes", "constant", "T²"),)
_GROWS_SCANNED = (
    FamilyGrowth("parallel", "yes", "log T", "T"),
    FamilyGrowth("sequential", "no", "T", "T"),
)
_GROWS_IN_CHUNKS = (
    FamilyGrowth("parallel", "yes", "constant", "T²"),
    FamilyGrowth("chunked", "in chunks", "T/C", "T·C"),
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
        checks=(projection_is_smaller,),
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
        checks=(heads_divide_into_pairs,),
        growth=_GROWS_ATTENTION,
    ),
    Family(
        name="encoder",
        recurrence="none: softmax(QKᵀ/√d)V over all timesteps",
        executions=(),
        parallel_over_time=True,
        builder=_ATTENTION,
        options=frozenset({"heads"}),
        checks=(heads_divide_into_pairs,),
        growth=_GROWS_ATTENTION,
        causal=False,
    ),
    Family(
        name="linear-attention",
        recurrence="S_t = S_{t-1} + φ(k_t) v_tᵀ; o_t = S_tᵀ φ(q_t) / (z_tᵀ φ(q_t))",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.families.linear_attention:build",
        options=frozenset({"execution", "heads", "chunk"}),
        checks=(
            heads_divide,
            chunk_needs_chunks,
        ),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="retention",
        recurrence="S_t = γ S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.families.retention:build",
        options=frozenset({"execution", "heads", "chunk"}),
        checks=(
            heads_divide_into_pairs,
            chunk_needs_chunks,
        ),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="mingru",
        recurrence="h_t = (1-z(x_t))⊙h_{t-1} + z(x_t)⊙h̃(x_t)",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.families.mingru:build",
        options=frozenset({"execution"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="minlstm",
        recurrence="f′ = f/(f+i); i′ = i/(f+i); h_t = f′⊙h_{t-1} + i′⊙h̃(x_t)",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.families.minlstm:build",
        options=frozenset({"execution"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="ssm",
        recurrence="h_t = Λ h_{t-1} + γ⊙B x_t; y_t = Re(C h_t) + D⊙x_t; Λ diagonal, complex",
        executions=_SCANNED,
        parallel_over_time=True,
        builder="seqprof.workloads.families.ssm:build",
        options=frozenset({"execution", "state_size"}),
        growth=_GROWS_SCANNED,
    ),
    Family(
        name="mamba",
        recurrence="h_t = exp(Δ_t A)⊙h_{t-1} + Δ_t B_t x_t; y_t = C_t h_t + D⊙x_t",
        executions=("parallel", "chunked", "sequential"),
        parallel_over_time=True,
        builder="seqprof.workloads.families.mamba:build",
        options=frozenset({"execution", "state_size", "transition", "heads", "chunk"}),
        checks=(
            chunk_needs_chunks,
            transition_fits,
        ),
        growth=(
            *_GROWS_SCANNED,
            FamilyGrowth("parallel, scalar", "yes", "constant", "T²"),
            FamilyGrowth("chunked, scalar", "in chunks", "T/C", "T·C"),
        ),
    ),
    Family(
        name="slstm",
        recurrence="c_t = f⊙c_{t-1} + i⊙z; n_t = f⊙n_{t-1} + i; h_t = o⊙c_t/n_t; "
        "gates from x_t and h_{t-1}, i = exp",
        executions=("cell",),
        parallel_over_time=False,
        builder="seqprof.workloads.families.slstm:build",
        options=frozenset({"execution", "heads"}),
        checks=(heads_divide,),
        growth=(FamilyGrowth("cell", "no", "T", "T"),),
    ),
    Family(
        name="mlstm",
        recurrence="C_t = f C_{t-1} + i v_t k_tᵀ; n_t = f n_{t-1} + i k_t; "
        "h_t = o⊙(C_t q_t) / max(|n_tᵀ q_t|, 1)",
        executions=_IN_CHUNKS,
        parallel_over_time=True,
        builder="seqprof.workloads.families.mlstm:build",
        options=frozenset({"execution", "heads", "chunk"}),
        checks=(
            heads_divide,
            chunk_needs_chunks,
        ),
        growth=_GROWS_IN_CHUNKS,
    ),
    Family(
        name="tcn",
        recurrence="none: convolutions over the last k timesteps, 2^l apart in layer l",
        executions=(),
        parallel_over_time=True,
        builder="seqprof.workloads.families.tcn:build",
        options=frozenset({"kernel_size"}),
        growth=(FamilyGrowth("one", "yes", "constant", "T"),),
    ),
    Family(
        name="transformers",
        recurrence="any Hugging Face architecture, by model.config (extra: transformers)",
        executions=(),
        parallel_over_time=None,
        builder="seqprof.workloads.families.transformers_model:build",
        options=frozenset({"config"}),
        checks=(all_in_config,),
        growth=(FamilyGrowth("one", "depends", "depends", "depends"),),
        entry_size="seqprof.workloads.families.transformers_model:entry_size",
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
