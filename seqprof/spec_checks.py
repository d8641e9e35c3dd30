"""What the parts of a spec cannot be together. One small generator per subject, listed in CHECKS.

A check refuses what cannot work, or what would silently mean nothing; never what merely makes
little sense. It sees only a spec whose single values are valid, and gives one
:class:`Conflict` for each key that has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seqprof.conflicts import Conflict
from seqprof.spec import Spec
from seqprof.suggest import did_you_mean
from seqprof.workloads.family import Family
from seqprof.workloads.prediction import Head, data_name, effective_head, sees_future
from seqprof.workloads.registry import families

_HEADS_FOR_TEXT: tuple[Head, ...] = ("language_model", "classification")
_OWN_MODEL_KEYS = frozenset({"name", "target", "kwargs", "head"})
#: Keys of the model that mean something to some families only.
_OPTIONS = (
    "execution", "bidirectional", "nonlinearity", "heads", "projection", "state_size",
    "transition", "chunk", "kernel_size", "config",
)  # fmt: skip
_OWN_DATA_KEYS = frozenset({"target", "kwargs", "time_dim"})


Check = Callable[[Spec, Family | None], Iterator[Conflict]]


def conflicts(spec: Spec) -> Iterator[Conflict]:
    """Yield everything in ``spec`` that cannot go together."""
    family = families().get(spec.model.name) if spec.model.name else None
    for check in CHECKS:
        yield from check(spec, family)


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


def _own_options_of_family(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    if family is None:
        return
    known = {option.name: option for option in family.own_options}
    for name, value in spec.model.options.items():
        if name not in known:
            has = ", ".join(known) or "none"
            message = (
                f"{family.name} has no option '{name}'{did_you_mean(name, known)}; it has {has}"
            )
            yield Conflict("model.options", message, ("model.name",))
        elif (problem := known[name].problem(value)) is not None:
            yield Conflict("model.options", problem, ("model.name",))


def _checks_of_family(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    """What the family itself refuses."""
    if family is not None:
        for check in family.checks:
            yield from check(spec.model)


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
            message = (
                f"`{key}` is for built-in models; your own takes its arguments from `kwargs`, as "
                f"in --set model.kwargs.{key}={getattr(model, key)}"
            )
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
    if data.time_dim is not None:
        message = f"`time_dim` is for batches of your own; {kind} data are [B, T]"
        yield Conflict("data.time_dim", message, ("data.target",))
    kinds_with = {
        "path": ("text", "csv"),
        "columns": ("csv",),
        "horizon": ("csv",),
        "missing": ("csv",),
        "group": ("csv",),
        "decimal": ("csv",),
        "header": ("csv",),
        "encoding": ("text", "csv"),
        "task": ("synthetic",),
        "vocabulary": ("synthetic",),
    }
    for key, kinds in kinds_with.items():
        if getattr(data, key) is not None and kind not in kinds:
            message = f"`{key}` is for {' and '.join(kinds)} data, and this is {kind}"
            yield Conflict(f"data.{key}", message, ("data.kind", "data.target"))
    if data.encoding is not None and not _is_encoding(data.encoding):
        message = f"unknown encoding '{data.encoding}'; such as utf-8, latin-1, cp1252, utf-16"
        yield Conflict("data.encoding", message)
    if data.group is not None and data.group in (data.columns or []):
        message = f"`group` {data.group} names the series; it is no column to forecast"
        yield Conflict("data.group", message, ("data.columns",))
    if kind == "csv" and data.path is None:
        message = "csv data needs a `path` to the file"
        yield Conflict("data.kind", message, ("data.path", "data.target"))


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except LookupError:
        return False
    return True


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


def _stateful(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    bptt, kind = spec.train.bptt, spec.data.kind or "text"
    if bptt.update == "chunk" and bptt.truncate is None:
        message = "`update: chunk` needs chunks: set `truncate`"
        yield Conflict("train.bptt.update", message, ("train.bptt.truncate",))
    if bptt.update == "chunk" and spec.train.accumulate > 1:
        message = f"`update: chunk` leaves nothing to accumulate over {spec.train.accumulate}"
        yield Conflict("train.bptt.update", message, ("train.accumulate",))
    if not bptt.carry:
        return
    if spec.data.target is None and kind != "text":
        message = f"{kind} data have no next batch that goes on with the last; text has"
        yield Conflict("train.bptt.carry", message, ("data.kind", "data.target"))
    elif spec.data.target is None and spec.data.lengths.distribution != "fixed":
        message = "sequences of a stream have one length: `distribution: fixed`"
        yield Conflict("train.bptt.carry", message, ("data.lengths.distribution", "data.target"))
    if family is not None and (family.parallel_over_time is not False or spec.model.bidirectional):
        message = f"{family.name} is built for whole sequences: it has no state to carry on"
        involved = ("model.name", "model.bidirectional", "train.bptt.truncate")
        yield Conflict("train.bptt.carry", message, involved)


def _own_step(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    train = spec.train
    if train.step is None:
        return
    if train.loss != "auto":
        message = "`step` returns the loss itself; leave `loss` out"
        yield Conflict("train.loss", message, ("train.step",))
    for key in ("truncate", "update", "carry"):
        if getattr(train.bptt, key):
            message = f"`step` sees whole batches; leave `{key}` out, or `step`"
            yield Conflict(f"train.bptt.{key}", message, ("train.step",))


def _head_fits_data(spec: Spec, family: Family | None) -> Iterator[Conflict]:
    head = spec.model.head
    if head == "auto" or spec.data.target is not None:
        return
    data = data_name(spec)
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
        at = sees_future(spec.model, family)
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
    _own_options_of_family,
    _checks_of_family,
    _own_model,
    _own_data,
    _keys_of_data_kind,
    _lengths,
    _packed,
    _padded_both_ways,
    _truncated_bptt,
    _stateful,
    _own_step,
    _head_fits_data,
    _loss_fits_head,
    _momentum,
    _checkpoint,
    _stride,
)
