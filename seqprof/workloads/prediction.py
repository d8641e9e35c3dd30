"""What is predicted: ``model.head`` with ``auto`` resolved. Without torch."""

from __future__ import annotations

from typing import Literal

from seqprof.spec import ModelSpec, Spec
from seqprof.workloads.family import Family
from seqprof.workloads.registry import families

Head = Literal["language_model", "classification", "regression"]


def effective_head(spec: Spec) -> Head | None:
    """Return what is predicted, ``auto`` resolved; None where only the user's own data knows.

    Windows of a csv file are forecast. Tokens are predicted one by one; but text is classified by a
    model that has seen the next one already.
    """
    if spec.model.head != "auto":
        return spec.model.head
    if spec.data.target is not None:
        return None
    if spec.data.kind == "csv":
        return "regression"
    family = families().get(spec.model.name) if spec.model.name else None
    leaks = data_name(spec) == "text" and sees_future(spec.model, family) is not None
    return "classification" if leaks else "language_model"


def data_name(spec: Spec) -> str:
    """Return ``text``, ``csv``, ``copy`` or ``random``: built-in data, defaults filled in."""
    kind = spec.data.kind or "text"
    return spec.data.task or "copy" if kind == "synthetic" else kind


def sees_future(model: ModelSpec, family: Family | None) -> str | None:
    """Return the key that lets the output at t depend on inputs after t, if any does."""
    if family is None:
        return None
    if not family.causal:
        return "model.name"
    return "model.bidirectional" if model.bidirectional else None
