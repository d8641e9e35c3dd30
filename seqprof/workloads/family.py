"""What a model family is. Without torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqprof.conflicts import Conflict

if TYPE_CHECKING:
    from seqprof.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class FamilyGrowth:
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
class Option:
    """An option of one family alone, given as ``model.options: {name: value}``.

    Attributes:
        name: as it is written.
        kind: what a value must be: int, float, bool or str.
        default: what holds without it.
        description: in a few words.
        minimum: smallest number that it may be; None without a bound.
        choices: all that it may be; empty without such a list.
    """

    name: str
    kind: type[int] | type[float] | type[bool] | type[str]
    default: Any
    description: str
    minimum: float | None = None
    choices: tuple[Any, ...] = ()

    def problem(self, value: Any) -> str | None:
        """Say why ``value`` cannot be; None where it can."""
        whole = self.kind is float and isinstance(value, int) and not isinstance(value, bool)
        fits = type(value) is self.kind or whole
        if fits and self.minimum is not None:
            fits = value >= self.minimum
        if fits and (not self.choices or value in self.choices):
            return None
        return f"option '{self.name}' is {self.expected}, not {value!r}"

    @property
    def expected(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        bound = f" ≥ {self.minimum:g}" if self.minimum is not None else ""
        return words[self.kind] + bound


#: Yields what of a model's keys cannot be together in one family.
FamilyCheck = Callable[["ModelSpec"], Iterator[Conflict]]


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
        own_options: options that no other family has.
        checks: what of its keys cannot be together.
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
    own_options: tuple[Option, ...] = ()
    checks: tuple[FamilyCheck, ...] = ()
    causal: bool = True
    growth: tuple[FamilyGrowth, ...] = ()
    entry_size: str | None = None

    @property
    def default_execution(self) -> str | None:
        """The form it runs in when the spec names none; None where there is but one."""
        if "fused" in self.executions:
            return "fused"
        return self.executions[0] if self.executions else None

    def settings(self, model: ModelSpec) -> dict[str, Any]:
        """Return the value of each of its own options, defaults filled in."""
        return {option.name: option.default for option in self.own_options} | model.options

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
    function_: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return function_
