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


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of sequence model.

    Attributes:
        name: what a spec's ``model.name`` says.
        recurrence: the equation, as a user would recognise it.
        executions: the forms it can run in; empty where there is but one.
        parallel_over_time: whether all timesteps can be computed at once.
        builder: ``module:function`` taking ``(ModelSpec, input_size)`` and returning a
            :class:`seqprof.workloads.body.Body`, which maps ``[B, T, input_size]`` to
            ``[B, T, output_size]``.
        options: names of the optional ``ModelSpec`` fields that mean something to it.
        causal: whether the output at t depends on inputs up to t only (when not bidirectional).
    """

    name: str
    recurrence: str
    executions: tuple[str, ...]
    parallel_over_time: bool
    builder: str
    options: frozenset[str] = frozenset()
    causal: bool = True

    def load_builder(self) -> Callable[..., Any]:
        """Import the builder (and with it torch)."""
        module, _, function = self.builder.partition(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder


_RECURRENT = "seqprof.workloads.recurrent:build"
_ATTENTION = "seqprof.workloads.attention:build"

_BUILT_IN = (
    Family(
        name="rnn",
        recurrence="h_t = φ(W x_t + U h_{t-1} + b)",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional", "nonlinearity"}),
    ),
    Family(
        name="lstm",
        recurrence="c_t = f⊙c_{t-1} + i⊙g; h_t = o⊙tanh c_t",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional"}),
    ),
    Family(
        name="gru",
        recurrence="n = tanh(W x_t + r⊙(U h_{t-1})); h_t = (1-z)⊙n + z⊙h_{t-1}",
        executions=("cell", "fused"),
        parallel_over_time=False,
        builder=_RECURRENT,
        options=frozenset({"execution", "bidirectional"}),
    ),
    Family(
        name="attention",
        recurrence="none: softmax(QKᵀ/√d)V over earlier timesteps",
        executions=(),
        parallel_over_time=True,
        builder=_ATTENTION,
        options=frozenset({"heads"}),
    ),
    Family(
        name="encoder",
        recurrence="none: softmax(QKᵀ/√d)V over all timesteps",
        executions=(),
        parallel_over_time=True,
        builder=_ATTENTION,
        options=frozenset({"heads"}),
        causal=False,
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
