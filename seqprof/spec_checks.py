"""What the parts of a spec cannot be together. One small generator per subject, listed in CHECKS.

A check refuses what cannot work, or what would silently mean nothing; never what merely makes
little sense. It sees only a spec whose single values are valid, and gives one
:class:`Conflict` for each key that has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from seqprof.spec import DEFAULT_HEADS, ModelSpec, Spec
from seqprof.suggest import did_you_mean
from seqprof.workloads.registry import Family, families

Head = Literal["language_model", "classification", "regression"]

_HEADS_FOR_TEXT: tuple[Head, ...] = ("language_model", "classification")
_OWN_MODEL_KEYS = frozenset({"name", "target", "kwargs", "head"})
#: Keys of the model that mean something to some families only.
_OPTIONS = (
    "execution", "bidirectional", "nonlinearity", "heads", "projection", "state_size",
    "transition", "chunk", "kernel_size", "config",
)  # fmt: skip
#: Keys of the model that a Hugging Face configuration says in its own words.
_LIBRARY_SIZES = frozenset({"input_size", "hidden_size", "layers", "dropout"})
#: Families that turn pairs of features by their position, and those that only split them.
_ROTARY = ("attention", "encoder", "retention")
_HEADED = ("linear-attention", "mlstm", "slstm")
_OWN_DATA_KEYS = frozenset({"target", "kwargs"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two or more keys that cannot be together.

    Attributes:
        at: the key to change, dotted.
        message: what is wrong and what would be right.
        involves: the other keys it depends on, dotted.
    """

    at: str
    message: str
    involves: tuple[str, ...] = ()


Check = Callable[[Spec, Family | None], Iterator[Conflict]]


def conflicts(spec: Spec) -> Iterator[Conflict]:
    """Yield everything in ``spec`` that cannot go together."""
    family = families().get(spec.model.name) if spec.model.name else None
    for check in CHECKS:
        yield from check(spec, family)


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
    leaks = _data_name(spec) == "text" and _sees_future(spec.model, family) is not None
    return "classification" if leaks else "language_model"


def _data_name(spec: Spec) -> str:
    """Return ``text``, ``csv``, ``copy`` or ``random``: built-in data, defaults filled in."""
    kind = spec.data.kind or "text"
    return spec.data.task or "copy" if kind == "synthetic" else kind


def _sees_future(model: ModelSpec, family: Family | None) -> str | None:
    """Return the key that lets the output at t depend on inputs after t, if any does."""
    if family is None:
        return None
    if not family.causal:
        return "model.name"
    return "model.bidirectional" if model.bidirectional else None


def _model_is_chosen(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    name, target = spec.model.name, spec.model.target
    if name is None and target is None:
        known = ", ".join(families())
        message = f"model needs a `name` ({known}) or a `target` (your own module)"
        yield Conflict("model", message, ("model.name", "model.target"))
    elif name is not None and target is not None:
        message = "model has both a `name` and a `target`; keep one of them"
        yield Conflict("model.target", message, ("model.name",))
    elif name is not None and family is None:
        message = f"unknown model '{name}'{did_you_mean(name, families())}"
        yield Conflict("model.name", message)


def _options_of_family(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if family is None:
        return
    for option in _OPTIONS:
        if option in family.options or getattr(spec.model, option) in (None, False):
            continue
        having = ", ".join(f.name for f in families().values() if option in f.options)
        message = f"`{option}` has no meaning for {family.name}; it is for {having}"
        yield Conflict(f"model.{option}", message, ("model.name",))
    execution = spec.model.execution
    if "execution" in family.options and execution and execution not in family.executions:
        message = f"{family.name} runs as {' or '.join(family.executions)}, not as {execution}"
        yield Conflict("model.execution", message, ("model.name",))


def _heads_divide(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if family is None or "heads" not in family.options:
        return
    heads, size = spec.model.heads or DEFAULT_HEADS, spec.model.hidden_size
    even = family.name in _ROTARY
    scalar = family.name == "mamba" and spec.model.transition == "scalar"
    if not (even or scalar or family.name in _HEADED):
        return
    inner = 2 * size if scalar else size
    if inner % (2 * heads if even else heads):
        at, other = "model.heads", "model.hidden_size"
        if spec.model.heads is None:
            at, other = other, at
        why = " of an even size (rotary positions turn pairs of features)" if even else ""
        message = (
            f"{'twice ' if scalar else ''}hidden_size {size} does not split into {heads} heads"
            f"{why}; use a multiple of {2 * heads if even else heads}"
        )
        yield Conflict(at, message, (other, "model.name", "model.transition"))


def _projection(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    model = spec.model
    if model.projection is not None and model.projection >= model.hidden_size:
        message = f"`projection` {model.projection} must be below hidden_size {model.hidden_size}"
        yield Conflict("model.projection", message, ("model.hidden_size",))


def _forms(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    model = spec.model
    if family is None:
        return
    if model.chunk is not None and "chunk" in family.options and model.execution != "chunked":
        message = "`chunk` is for `execution: chunked`"
        yield Conflict("model.chunk", message, ("model.execution", "model.name"))
    if family.name != "mamba":
        return
    scalar = model.transition == "scalar"
    if model.heads is not None and not scalar:
        message = "`heads` is for `transition: scalar`; full has a decay per feature"
        yield Conflict("model.heads", message, ("model.transition", "model.name"))
    if model.execution == "chunked" and not scalar:
        message = "chunked is for `transition: scalar`; full runs as parallel or sequential"
        yield Conflict("model.execution", message, ("model.transition", "model.name"))
    if model.execution == "sequential" and scalar:
        message = "sequential is for `transition: full`; scalar runs as parallel or chunked"
        yield Conflict("model.execution", message, ("model.transition", "model.name"))


def _library_model(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    """A Hugging Face model has all its sizes in ``config``."""
    if family is None or "config" not in family.options:
        return
    config = spec.model.config
    if config is None or not isinstance(config.get("model_type"), str):
        message = f"{family.name} needs `config` with a `model_type`, for example gpt2"
        at = "model.name" if config is None else "model.config"
        yield Conflict(at, message, ("model.config", "model.name"))
    for key in sorted(spec.model.model_fields_set & _LIBRARY_SIZES):
        if getattr(spec.model, key) is not None:
            message = f"`{key}` has no meaning for {family.name}; its own names go into `config`"
            yield Conflict(f"model.{key}", message, ("model.name",))


def _own_model(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    model = spec.model
    if model.target is None:
        if model.kwargs:
            message = "`kwargs` are arguments for a `target`, and there is none"
            yield Conflict("model.kwargs", message, ("model.target",))
        return
    if model.name is not None:
        return
    for key in sorted(model.model_fields_set - _OWN_MODEL_KEYS):
        if getattr(model, key) is not None:
            message = f"`{key}` is for built-in models; your own takes its arguments from `kwargs`"
            yield Conflict(f"model.{key}", message, ("model.target",))


def _own_data(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    data = spec.data
    if data.target is None:
        if data.kwargs:
            message = "`kwargs` are arguments for a `target`, and there is none"
            yield Conflict("data.kwargs", message, ("data.target",))
        return
    for key in sorted(data.model_fields_set - _OWN_DATA_KEYS):
        if getattr(data, key) is not None:
            message = f"`{key}` is for built-in data; your own takes its arguments from `kwargs`"
            yield Conflict(f"data.{key}", message, ("data.target",))


def _keys_of_data_kind(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    data = spec.data
    if data.target is not None:
        return
    kind = data.kind or "text"
    kinds_with = {
        "path": ("text", "csv"),
        "columns": ("csv",),
        "horizon": ("csv",),
        "task": ("synthetic",),
        "vocabulary": ("synthetic",),
    }
    for key, kinds in kinds_with.items():
        if getattr(data, key) is not None and kind not in kinds:
            message = f"`{key}` is for {' and '.join(kinds)} data, and this is {kind}"
            yield Conflict(f"data.{key}", message, ("data.kind", "data.target"))
    if kind == "csv" and data.path is None:
        message = "csv data needs a `path` to the file"
        yield Conflict("data.kind", message, ("data.path", "data.target"))


def _lengths(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    lengths, seq_len = spec.data.lengths, spec.data.seq_len
    needed: dict[str, tuple[str, ...]] = {
        "minimum": ("uniform", "normal"),
        "mean": ("normal",),
        "deviation": ("normal",),
    }
    for key, distributions in needed.items():
        value = getattr(lengths, key)
        if value is not None and lengths.distribution not in distributions:
            message = (
                f"`{key}` needs a {' or '.join(distributions)} distribution, and this is "
                f"{lengths.distribution}"
            )
            yield Conflict(f"data.lengths.{key}", message, ("data.lengths.distribution",))
    for key in ("minimum", "mean"):
        value = getattr(lengths, key)
        if value is not None and value > seq_len:
            message = f"`{key}` {value:g} is above seq_len {seq_len}, the longest sequence"
            yield Conflict(f"data.lengths.{key}", message, ("data.seq_len",))
    if None not in (lengths.mean, lengths.minimum) and lengths.mean < lengths.minimum:  # type: ignore[operator]
        message = f"`mean` {lengths.mean:g} is below `minimum` {lengths.minimum}"
        yield Conflict("data.lengths.mean", message, ("data.lengths.minimum",))


def _packed(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if spec.data.lengths.layout != "packed":
        return
    at = "data.lengths.layout"
    if spec.model.target is not None:
        yield Conflict(at, "packed is for the built-in rnn, lstm and gru", ("model.target",))
    elif family is not None and "fused" not in family.executions:
        message = f"packed is for recurrent rnn, lstm and gru; {family.name} computes on rectangles"
        yield Conflict(at, message, ("model.name",))


def _padded_both_ways(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    model, lengths = spec.model, spec.data.lengths
    varies = lengths.distribution != "fixed" and spec.data.target is None
    fused = family is not None and "fused" in family.executions and model.execution != "cell"
    if varies and fused and model.bidirectional and lengths.layout == "padded":
        message = (
            "a fused bidirectional layer would read the padding first and change the loss; "
            "set `layout: packed`, or `execution: cell`"
        )
        involved = ("model.name", "model.execution", "model.bidirectional", "data.target")
        yield Conflict("data.lengths.layout", message, (*involved, "data.lengths.distribution"))


def _truncated_bptt(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    truncate, seq_len = spec.train.bptt.truncate, spec.data.seq_len
    if truncate is None:
        return
    at = "train.bptt.truncate"
    if spec.data.target is None and truncate > seq_len:
        message = f"a chunk of {truncate} timesteps is longer than seq_len {seq_len}"
        yield Conflict(at, message, ("data.seq_len", "data.target"))
    if family is not None and family.parallel_over_time is not False:
        message = f"{family.name} is built for whole sequences: it has no state to carry on"
        yield Conflict(at, message, ("model.name",))
    elif family is not None and spec.model.bidirectional:
        message = "a bidirectional model needs the whole sequence; it cannot go on in chunks"
        yield Conflict(at, message, ("model.bidirectional", "model.name"))
    if spec.model.head == "classification":
        message = "classification has one loss at the sequence's end, not one per chunk"
        yield Conflict(at, message, ("model.head",))


def _head_fits_data(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    head = spec.model.head
    if head == "auto" or spec.data.target is not None:
        return
    data = _data_name(spec)
    possible: dict[str, tuple[Head, ...]] = {
        "text": _HEADS_FOR_TEXT,
        "random": _HEADS_FOR_TEXT,
        "copy": ("language_model",),
        "csv": ("regression",),
    }
    if head not in possible[data]:
        message = f"{data} data is for {' or '.join(possible[data])}, not for {head}"
        yield Conflict("model.head", message, ("data.kind", "data.task", "data.target"))
    elif head == "language_model" and data == "text":
        # Made-up tokens are no matter: the copy task asks for earlier ones, random ones for none.
        at = _sees_future(spec.model, family)
        if at is not None:
            message = (
                "this model sees the tokens that a language model is to predict; "
                "use `head: classification`"
            )
            yield Conflict(at, message, ("model.name", "model.head", "data.kind"))


def _loss_fits_head(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    head, loss = effective_head(spec), spec.train.loss
    involved = ("model.head", "model.name", "data.kind", "data.target")
    if loss == "cross_entropy" and head == "regression":
        message = "cross_entropy needs classes, and regression predicts numbers; use mse"
        yield Conflict("train.loss", message, involved)
    if loss == "mse" and head in _HEADS_FOR_TEXT:
        message = f"mse needs numbers, and {head} predicts classes; use cross_entropy"
        yield Conflict("train.loss", message, involved)


def _momentum(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if spec.train.momentum is not None and spec.train.optimizer != "sgd":
        message = f"`momentum` is for sgd, and the optimizer is {spec.train.optimizer}"
        yield Conflict("train.momentum", message, ("train.optimizer",))


def _checkpoint(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if spec.train.checkpoint and spec.model.target is not None:
        message = (
            "`checkpoint` is for built-in models, whose parts are known; in your own model call "
            "torch.utils.checkpoint.checkpoint where you want it"
        )
        yield Conflict("train.checkpoint", message, ("model.target",))


def _stride(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    stride, seq_len = spec.measure.timesteps.stride, spec.data.seq_len
    if spec.data.target is None and stride != "auto" and stride > seq_len:
        message = f"stride {stride} is above seq_len {seq_len}"
        yield Conflict("measure.timesteps.stride", message, ("data.seq_len", "data.target"))


CHECKS: tuple[Check, ...] = (
    _model_is_chosen,
    _options_of_family,
    _heads_divide,
    _projection,
    _forms,
    _library_model,
    _own_model,
    _own_data,
    _keys_of_data_kind,
    _lengths,
    _packed,
    _padded_both_ways,
    _truncated_bptt,
    _head_fits_data,
    _loss_fits_head,
    _momentum,
    _checkpoint,
    _stride,
)
