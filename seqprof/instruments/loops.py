"""Find the submodules that a model calls as its sequences go on.

Forwards are run with enter/exit hooks on every submodule. A submodule is a *timestep module* when
its calls follow the number of timesteps by a rule: once, twice (k times) for each, one less, once
for every second one. Of nested ones the outermost counts, and of several that take turns (``a b a
b …``) the first, because the span from one of its calls to the next holds the whole timestep.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.instruments.rules import ONCE, Rule, possible_rules

#: A module that is called less often may not be called along the sequence at all.
_FEWEST_UNRULY = 4


@dataclass(frozen=True, slots=True)
class TimestepLoop:
    """A submodule called along the sequence.

    Attributes:
        path: name of what is repeated: the submodule's dotted path below the model.
        module: the submodule.
        rule: how often it is called.
        reverse: whether it goes from the last timestep to the first in the forward.
        turns: the other submodules that are called between two of its calls, in order.
        passes: how often it goes over the whole sequence, one pass after another.
        number: which of the passes this is.
        read_from: what told the order of its timesteps: its inputs, or only that of its calls.
    """

    path: str
    module: nn.Module = field(repr=False)
    rule: Rule = ONCE
    reverse: bool = False
    turns: tuple[str, ...] = ()
    passes: int = 1
    number: int = 0
    read_from: str = "the order of its calls"

    @property
    def calls_per_position(self) -> int:
        """Calls that one span holds."""
        return 1 if self.passes > 1 or self.by_call else self.rule.times

    @property
    def by_call(self) -> bool:
        """Whether each call is a span, because which timestep one is of cannot be told."""
        return self.rule.uneven

    def positions(self, timesteps: int) -> int:
        """How many spans a forward over so many timesteps has in this pass."""
        return self.rule.calls(timesteps) // (self.passes * self.calls_per_position)

    def index(self, position: int, timesteps: int) -> int:
        """Where a span lies along the sequence, counted in spans."""
        return self.positions(timesteps) - 1 - position if self.reverse else position


@dataclass(slots=True)
class WatchedCalls:
    """When a submodule was entered in one forward, inside which others, and with which input.

    ``origins`` are (memory, offset) of the first tensor that each call was given, where that is a
    view into something larger.
    """

    path: str
    module: nn.Module
    entered: list[int] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)
    origins: list[tuple[int, int] | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watched:
    """The calls of one forward over ``timesteps``."""

    timesteps: int
    calls: dict[str, WatchedCalls]


class CallWatcher:
    """Notes the calls of every submodule, forward by forward, while :meth:`watching`.

    Shaped as a listener of forwards: outside of one (backward, recomputation) nothing is noted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._stack: list[str] = []
        self._order = 0
        self._now: dict[str, WatchedCalls] | None = None
        self.forwards: list[Watched] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every submodule, and leave them as they were."""
        with ExitStack() as undo:
            for path, module in self._model.named_modules():
                self._watch(path, module, undo)
            yield

    def _watch(self, path: str, module: nn.Module, undo: ExitStack) -> None:
        enter = self._enter(path, module)
        try:
            undo.callback(module.register_forward_pre_hook(enter).remove)
            undo.callback(module.register_forward_hook(self._leave, always_call=True).remove)
        except RuntimeError:  # TorchScript takes no hooks, but a `forward` of the instance's own
            original = module.forward

            def forward(*args: Any, **kwargs: Any) -> Any:
                enter(module, args)
                try:
                    return original(*args, **kwargs)
                finally:
                    self._leave(module, args, None)

            undo.callback(replace_forward(module, forward))

    def begin_forward(self, start: int, stop: int) -> None:
        self._now, self._order = {}, 0
        self._stack.clear()
        self.forwards.append(Watched(stop - start, self._now))

    def end_forward(self) -> None:
        self._now = None

    def _enter(self, path: str, module: nn.Module) -> Callable[[nn.Module, Any], None]:
        def enter(_module: nn.Module, args: Any) -> None:
            if self._now is None:
                return
            calls = self._now.setdefault(path, WatchedCalls(path, module))
            calls.entered.append(self._order)
            calls.inside.update(self._stack)
            calls.origins.append(_origin(args))
            self._order += 1
            self._stack.append(path)

        return enter

    def _leave(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        if self._now is not None and self._stack:
            self._stack.pop()


def replace_forward(module: nn.Module, forward: Callable[..., Any]) -> Callable[[], None]:
    """Give a module a ``forward`` of its own; returns what gives it the old one back."""
    previous = module.__dict__.get("forward")
    object.__setattr__(module, "forward", forward)

    def undo() -> None:
        if previous is None:
            module.__dict__.pop("forward", None)
        else:
            object.__setattr__(module, "forward", previous)

    return undo


def _origin(args: Any) -> tuple[int, int] | None:
    """Where a view lies in what it is a view of."""
    first = next((value for value in args if isinstance(value, Tensor)), None)
    if first is None or first._base is None:
        return None
    return first.untyped_storage().data_ptr(), int(first.storage_offset())


def find_loops(watched: Sequence[Watched]) -> list[TimestepLoop]:
    """Return the timestep modules, in the order in which the forward calls them.

    Args:
        watched: forwards; those over a second length tell a loop over timesteps from a module that
            is called as often by coincidence.
    """
    if not watched:
        return []
    full = max(watched, key=lambda forward: forward.timesteps)
    if full.timesteps < 2:
        return []
    rules = {path: rule for path in full.calls if (rule := rule_of(path, watched)) is not None}
    outermost = [full.calls[p] for p in rules if not full.calls[p].inside & rules.keys()]
    passes: list[TimestepLoop] = []
    for turn in _turns(outermost):
        loop = _loop(turn, rules)
        bounding = next(calls for calls in turn if calls.module is loop.module)
        passes += _passes(loop, bounding)
    return passes


def _turns(calls: Sequence[WatchedCalls]) -> list[list[WatchedCalls]]:
    """Group the modules that take turns; each group in the order of the first calls."""
    groups: list[list[WatchedCalls]] = []
    last_call = -1
    for call in sorted(calls, key=lambda c: c.entered[0]):
        if groups and call.entered[0] < last_call:
            groups[-1].append(call)
        else:
            groups.append([call])
        last_call = max(last_call, call.entered[-1])
    return groups


def _loop(turn: Sequence[WatchedCalls], rules: dict[str, Rule]) -> TimestepLoop:
    """The loop of a group: bounded by the first module of every timestep, named by all.

    One that is called once before the others begin is not: an embedding that an encoder has used,
    and a decoder uses in each timestep.
    """
    inside = [calls for calls in turn if _takes_turns(calls, turn)] or turn
    regular = (c for c in inside if rules[c.path].every == 1 and not rules[c.path].more)
    chosen = next(regular, inside[0])
    others = tuple(calls.path for calls in turn if calls is not chosen)
    return TimestepLoop(_name(chosen.path, others), chosen.module, rules[chosen.path], turns=others)


def _takes_turns(calls: WatchedCalls, turn: Sequence[WatchedCalls]) -> bool:
    """Whether another of the group is called between its first two calls."""
    first, second = calls.entered[:2]
    others = [other for other in turn if other is not calls]
    return not others or any(first < at < second for other in others for at in other.entered)


def _name(first: str, others: Sequence[str]) -> str:
    """Name what is repeated."""
    name = first or "the model"
    if len(others) > 1:
        return f"{name} + {len(others)} more"
    return f"{name} + {others[0]}" if others else name


def rule_of(path: str, watched: Sequence[Watched]) -> Rule | None:
    """Return the rule that the calls of a module follow in all forwards; None where there is none.

    With one length only a module that is called once or a few times a timestep, or one time less,
    is taken for a timestep module: the others could be anything.
    """
    seen = {(w.timesteps, len(w.calls[path].entered) if path in w.calls else 0) for w in watched}
    timesteps, calls = max(seen)
    if calls < 2:
        return None
    several = len({length for length, _ in seen}) > 1
    if several and len({count for _, count in seen}) == 1:  # as often at every length
        return None
    return next((r for r in possible_rules(timesteps, calls, several) if _holds(r, seen)), None)


def unruly_calls(watched: Sequence[Watched]) -> tuple[str, int, int] | None:
    """Return the module that is called most often along a sequence, though by no rule.

    With it stand its calls and the timesteps of that forward; None where none is called for half of
    the timesteps, or as often at any length.
    """
    full = max(watched, key=lambda forward: forward.timesteps)
    counts = [
        {w.timesteps: len(w.calls[p].entered) for w in watched if p in w.calls} for p in full.calls
    ]
    often = [
        calls
        for calls, seen in zip(full.calls.values(), counts, strict=True)
        if len(calls.entered) >= max(_FEWEST_UNRULY, full.timesteps // 2)
        and (len(seen) == 1 or len(set(seen.values())) > 1)
    ]
    paths = {calls.path for calls in often}
    outermost = [calls for calls in often if not calls.inside & paths]
    if not outermost:
        return None
    most = max(outermost, key=lambda calls: len(calls.entered))
    return most.path, len(most.entered), full.timesteps


def _holds(rule: Rule, seen: set[tuple[int, int]]) -> bool:
    return all(rule.calls(timesteps) == calls for timesteps, calls in seen)


def _passes(loop: TimestepLoop, calls: WatchedCalls) -> list[TimestepLoop]:
    """Split the calls into passes over the sequence, where their inputs show such.

    A cell that two directions or layers share goes over the whole sequence several times; one that
    is called twice in each timestep does not.
    """
    if loop.by_call:
        return [loop]
    times = loop.rule.times
    count = len(calls.entered) // times
    directions = [_direction(calls.origins[p * count : (p + 1) * count]) for p in range(times)]
    if times == 1:
        reverse = directions[0] == -1
        source = "where its inputs lie" if directions[0] else loop.read_from
        return [replace(loop, reverse=reverse, read_from=source)]
    if directions[0] is None or loop.turns:
        return [loop]
    return [
        replace(
            loop,
            path=f"{loop.path} (pass {number + 1} of {times})",
            passes=times,
            number=number,
            reverse=direction == -1,
            read_from="where its inputs lie" if direction else "the order of its calls",
        )
        for number, direction in enumerate(directions)
    ]


def _direction(origins: Sequence[tuple[int, int] | None]) -> int | None:
    """1 or -1 where inputs go through one tensor in order, forwards or backwards; else None."""
    if len(origins) < 2 or any(origin is None for origin in origins):
        return None
    known = [origin for origin in origins if origin is not None]
    if len({memory for memory, _ in known}) > 1:
        return None
    offsets = [offset for _, offset in known]
    steps = {after > before for before, after in pairwise(offsets)}
    if len(steps) > 1 or len(set(offsets)) < len(offsets):
        return None
    return 1 if steps == {True} else -1


def named_loops(model: nn.Module, path: str, watched: Sequence[Watched]) -> list[TimestepLoop]:
    """Return the loop over the submodule that the user named; several where it makes passes.

    Raises:
        SeqprofError: there is no such submodule, its calls follow no number of timesteps, or one
            forward calls it less than twice.
    """
    modules = dict(model.named_modules())
    if path not in modules or not path:
        near = difflib.get_close_matches(path, [name for name in modules if name], n=3)
        raise SeqprofError(
            f"measure.timesteps.module: the model has no submodule '{path}'",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    full = max(watched, key=lambda forward: forward.timesteps)
    calls = full.calls.get(path)
    count = len(calls.entered) if calls else 0
    if calls is None or count < 2:
        raise SeqprofError(
            f"measure.timesteps.module: one forward calls '{path}' {count} times, "
            "so it bounds no timesteps",
            hint="name a submodule that is called once per timestep, or leave the key out",
        )
    rule = rule_of(path, watched)
    if rule is None:
        seen = ", ".join(
            f"{len(w.calls[path].entered) if path in w.calls else 0} for T = {w.timesteps}"
            for w in watched
        )
        raise SeqprofError(
            f"measure.timesteps.module: the calls of '{path}' do not follow the timesteps: {seen}",
            hint="name a submodule that is called once per timestep, or leave the key out",
        )
    return _passes(TimestepLoop(path, modules[path], rule), calls)
