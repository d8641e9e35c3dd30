"""What of a model's keys cannot be together; each family names the checks that it needs."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.conflicts import Conflict
from seqprof.spec import DEFAULT_HEADS, ModelSpec

#: Keys of the model that a Hugging Face configuration says in its own words.
LIBRARY_SIZES = frozenset({"input_size", "hidden_size", "layers", "dropout"})


def heads_divide(model: ModelSpec) -> Iterator[Conflict]:
    """Heads share the features evenly."""
    yield from _divides(model, model.hidden_size, 1, "hidden_size", "")


def heads_divide_into_pairs(model: ModelSpec) -> Iterator[Conflict]:
    """Rotary positions turn pairs of features, so each head has an even number."""
    why = " of an even size (rotary positions turn pairs of features)"
    yield from _divides(model, model.hidden_size, 2, "hidden_size", why)


def _divides(
    model: ModelSpec, width: int, multiple: int, what: str, why: str
) -> Iterator[Conflict]:
    heads = model.heads or DEFAULT_HEADS
    if width % (multiple * heads):
        at, other = "model.heads", "model.hidden_size"
        if model.heads is None:
            at, other = other, at
        message = (
            f"{what} {model.hidden_size} does not split into {heads} heads{why}; "
            f"use a multiple of {multiple * heads}"
        )
        yield Conflict(at, message, (other, "model.name", "model.transition"))


def projection_is_smaller(model: ModelSpec) -> Iterator[Conflict]:
    """A projection makes h smaller than the cell's state."""
    if model.projection is not None and model.projection >= model.hidden_size:
        message = f"`projection` {model.projection} must be below hidden_size {model.hidden_size}"
        yield Conflict("model.projection", message, ("model.hidden_size",))


def chunk_needs_chunks(model: ModelSpec) -> Iterator[Conflict]:
    """Only one form of it takes chunks."""
    if model.chunk is not None and model.execution != "chunked":
        message = "`chunk` is for `execution: chunked`"
        yield Conflict("model.chunk", message, ("model.execution", "model.name"))


def transition_fits(model: ModelSpec) -> Iterator[Conflict]:
    """A scalar transition has heads and can be chunked, a full one can be stepped (mamba)."""
    scalar = model.transition == "scalar"
    involved = ("model.transition", "model.name")
    if scalar:
        yield from _divides(model, 2 * model.hidden_size, 1, "twice hidden_size", "")
    elif model.heads is not None:
        message = "`heads` is for `transition: scalar`; full has a decay per feature"
        yield Conflict("model.heads", message, involved)
    if model.execution == "chunked" and not scalar:
        message = "chunked is for `transition: scalar`; full runs as parallel or sequential"
        yield Conflict("model.execution", message, involved)
    if model.execution == "sequential" and scalar:
        message = "sequential is for `transition: full`; scalar runs as parallel or chunked"
        yield Conflict("model.execution", message, involved)


def all_in_config(model: ModelSpec) -> Iterator[Conflict]:
    """A Hugging Face model has all its sizes in ``config``."""
    config = model.config
    if config is None or not isinstance(config.get("model_type"), str):
        message = f"{model.name} needs `config` with a `model_type`, for example gpt2"
        at = "model.name" if config is None else "model.config"
        yield Conflict(at, message, ("model.config", "model.name"))
    for key in sorted(model.model_fields_set & LIBRARY_SIZES):
        if getattr(model, key) is not None:
            message = f"`{key}` has no meaning for {model.name}; its own names go into `config`"
            yield Conflict(f"model.{key}", message, ("model.name",))
