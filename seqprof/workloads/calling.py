"""How a model is called for a batch.

A user's model gets, in this order: the inputs (a tensor as the one argument; a tuple or a list as
so many arguments where ``forward`` takes so many, else as one; a mapping or a named tuple by names
where ``forward`` has them, else as one), the state where one is carried, and by name, where
``forward`` asks for them, the lengths and the targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from seqprof.errors import SeqprofError
from seqprof.spec import TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.parameters import (
    Parameters,
    is_length_name,
    is_state_name,
    is_target_name,
    of_model,
)
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.structures import named_parts, shape_in_words

#: Methods that give the state before the first timestep, for so many sequences.
_STATE_MAKERS = ("init_hidden", "init_state", "initial_state", "zero_state", "get_initial_state")
#: What the model and a state give for a batch.
Call = Callable[[Batch, Any], Any]


@dataclass(frozen=True, slots=True)
class Calling:
    """How a model is called.

    Attributes:
        call: takes a batch and a state (None at first), returns what the model does.
        words: the call as one would write it.
        gives_targets: whether the model gets the targets, and so may return the loss.
    """

    call: Call
    words: str
    gives_targets: bool = False


def carries_state(train: TrainSpec) -> bool:
    """Whether a state goes on from chunk to chunk or from batch to batch."""
    return train.bptt.truncate is not None or bool(train.bptt.carry)


def plan_call(model: nn.Module, train: TrainSpec, first: Batch) -> Calling:
    """Decide how ``model`` is called, from its signature and the first batch.

    Raises:
        SeqprofError: it takes what the batches do not have.
    """
    if isinstance(model, SequenceModel):
        return _built_in(model, train)
    return _Planner(model, train, first).plan()


def _built_in(model: SequenceModel, train: TrainSpec) -> Calling:
    if carries_state(train):

        def go_on(batch: Batch, state: Any) -> Any:
            return model.forward_with_state(
                batch.inputs, state, lengths=batch.lengths, packed=batch.packed
            )

        return Calling(go_on, "model(inputs, state)")

    def call(batch: Batch, _state: Any) -> Any:
        return model(batch.inputs, lengths=batch.lengths, packed=batch.packed)

    return Calling(call, "model(inputs)")


class _Planner:
    def __init__(self, model: nn.Module, train: TrainSpec, first: Batch) -> None:
        self._model, self._train, self._first = model, train, first
        self._takes = of_model(model)
        self._words: list[str] = []

    def plan(self) -> Calling:
        place = self._place_inputs()
        state, lengths, targets = self._place_state(), self._place_lengths(), self._place_targets()
        self._refuse_missing(state)
        call = self._compose(place, state, lengths, targets)
        return Calling(call, f"model({', '.join(self._words)})", targets is not None)

    # What goes in: each returns how the inputs become arguments ------------------------------

    def _place_inputs(self) -> str:
        inputs = self._first.inputs
        names = named_parts(inputs)
        if names is not None and self._by_name(list(names)):
            self._words += [f"{name}=…" for name in self._names]
            return "by name"
        if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "batch_sizes"):
            count = len(inputs)
            if self._takes is None or (self._takes.takes(count + self._extra) and count > 0):
                self._words += [f"inputs[{index}]" for index in range(count)]
                self._bound = self._takes.names[:count] if self._takes else ()
                return "spread"
        return self._as_one(inputs)

    @property
    def _extra(self) -> int:
        """Required parameters by position that are filled with something else than inputs."""
        takes = self._takes
        if takes is None:
            return 0
        others = (is_state_name, is_length_name, is_target_name)
        count = len(self._first.inputs)
        return sum(
            name in takes.required and any(fits(name) for fits in others)
            for name in takes.names[count:]
        )

    _names: tuple[str, ...] = ()
    _bound: tuple[str, ...] = ()

    def _by_name(self, keys: list[str]) -> bool:
        """Whether these are names of what ``forward`` takes."""
        takes = self._takes
        if takes is None:
            return False
        if takes.any_names and not takes.names:
            self._names = self._bound = tuple(keys)
            return True
        hidden = self._train.loss != "auto"  # then a model need not make a loss of the targets
        names = tuple(
            key
            for key in keys
            if key in takes.all_names
            and not (hidden and is_target_name(key) and key not in takes.required)
        )
        others = {n for n in takes.required if is_state_name(n)} if self._carries else set()
        if not names or takes.required - set(names) - others:
            return False
        self._names = self._bound = names
        return True

    def _as_one(self, inputs: Any) -> str:
        takes = self._takes
        if takes is not None and not takes.names and not takes.any_positions:
            raise self._cannot_call(f"its forward takes {takes.in_words}")
        missing = self._unfilled(takes) if takes is not None else []
        names = named_parts(inputs)
        if names is not None and missing:
            keys = ", ".join(names)
            raise self._cannot_call(
                f"its forward takes {takes.in_words if takes else ''}, and the batch has {keys}"
            )
        self._words.append("inputs")
        self._bound = takes.names[:1] if takes is not None else ()
        return "one"

    def _unfilled(self, takes: Parameters) -> list[str]:
        """Required parameters after the first that nothing but inputs could fill."""
        others = (is_state_name, is_length_name, is_target_name)
        return [
            name
            for name in takes.names[1:]
            if name in takes.required and not any(fits(name) for fits in others)
        ]

    # What goes beside it ----------------------------------------------------------------------

    @property
    def _carries(self) -> bool:
        return carries_state(self._train)

    def _free(self, fits: Callable[[str], bool]) -> str | None:
        takes = self._takes
        if takes is None:
            return None
        free = [n for n in takes.all_names if n not in self._bound and fits(n)]
        return free[0] if free else None

    def _place_state(self) -> str | None:
        """Name of the parameter that takes the state; '' where it has none that is known."""
        if not self._carries:
            return None
        name = self._free(is_state_name) or ""
        if name:
            self._bound = (*self._bound, name)
        elif self._takes is not None:
            after = [n for n in self._takes.names if n not in self._bound]
            if not after and not self._takes.any_positions:
                raise SeqprofError(
                    f"train.bptt: the model's forward takes no state: it is {self._takes.in_words}",
                    hint="let forward take the state (None at first) and return (output, state)",
                )
            name = after[0] if after else ""
            self._bound = (*self._bound, *after[:1])
        self._words.append(f"{name}=state" if name else "state")
        return name

    def _place_lengths(self) -> str | None:
        if self._first.lengths is None:
            return None
        return self._beside(is_length_name, "lengths")

    def _place_targets(self) -> str | None:
        name = self._free(is_target_name)
        optional = self._takes is None or name not in self._takes.required
        # A loss of the user's own needs no loss from the model.
        if self._first.targets is None or (self._train.loss != "auto" and optional):
            return None
        return self._beside(is_target_name, "targets")

    def _beside(self, fits: Callable[[str], bool], word: str) -> str | None:
        name = self._free(fits)
        if name is not None:
            self._bound = (*self._bound, name)
            self._words.append(f"{name}={word}")
        return name

    def _refuse_missing(self, state: str | None) -> None:
        takes = self._takes
        if takes is None:
            return
        missing = sorted(takes.required - set(self._bound))
        if not missing:
            return
        states = [name for name in missing if is_state_name(name)]
        if states and state is None:
            raise SeqprofError(
                f"model.target: the model's forward takes {takes.in_words}, and `{states[0]}` is "
                "no part of a batch",
                hint="set train.bptt: {carry: true} to hand a state on from batch to batch (with "
                "`truncate: k`, `update: chunk` for an update after each k timesteps), or write "
                "the step yourself: train.step: package.module:function(model, batch) -> loss",
            )
        raise self._cannot_call(
            f"its forward takes {takes.in_words}, and nothing in a batch is `{missing[0]}` "
            f"(inputs: {shape_in_words(self._first.inputs)})"
        )

    def _cannot_call(self, why: str) -> SeqprofError:
        return SeqprofError(
            f"model.target: how the model is called cannot be told: {why}",
            hint="yield inputs with these names or in this order, or write the step yourself: "
            "train.step: package.module:function(model, batch) -> loss",
        )

    # The call itself --------------------------------------------------------------------------

    def _compose(
        self, place: str, state: str | None, lengths: str | None, targets: str | None
    ) -> Call:
        model = self._model
        if place == "one" and state is lengths is targets is None:
            return lambda batch, _state: model(batch.inputs)
        names, begin = self._names, self._initial_state(state)

        def call(batch: Batch, before: Any) -> Any:
            args, kwargs = _arguments(batch.inputs, place, names)
            if state is not None:
                value = begin(batch) if before is None else before
                if state:
                    kwargs[state] = value
                else:
                    args = (*args, value)
            if lengths is not None:
                kwargs[lengths] = batch.lengths
            if targets is not None:
                kwargs[targets] = batch.targets
            return model(*args, **kwargs)

        return call

    def _initial_state(self, state: str | None) -> Callable[[Batch], Any]:
        """What stands for the state before the first batch: None, or what the model makes."""
        takes, model = self._takes, self._model
        if takes is not None and state in takes.required:
            for name in _STATE_MAKERS:
                make = getattr(model, name, None)
                if callable(make):
                    return lambda batch: make(batch.batch_size)
        return lambda _batch: None


def _arguments(
    inputs: Any, place: str, names: tuple[str, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if place == "one":
        return (inputs,), {}
    if place == "spread":
        return tuple(inputs), {}
    parts = named_parts(inputs) or {}
    return (), {name: parts[name] for name in names}


def output_and_state(result: Any) -> tuple[Any, Any]:
    """Return the output, and the state that stands last in what the model returned.

    Raises:
        SeqprofError: it returned one thing only.
    """
    if not (isinstance(result, tuple) and len(result) >= 2):
        raise SeqprofError(
            f"train.bptt: the model's forward(inputs, state) returned {shape_in_words(result)}, "
            "not (output, state)",
            hint="let forward take the state (None at first) and return (output, state)",
        )
    return (result[0] if len(result) == 2 else result[:-1]), result[-1]
