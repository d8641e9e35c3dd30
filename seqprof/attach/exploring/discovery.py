"""What a foreign loop is made of, from watching every module call of its first iterations.

A *root* is a module with parameters that the script itself calls; a *criterion* one without. A
*group* is the calls of roots that lead to one backward. In a group, a module that is called again
and again is a timestep module when its number of calls is a size of the root's input, or when each
call takes what an earlier one returned together with something new.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from seqprof.attach.exploring.tensors import Shapes, comes_from, shapes_of, tensors

#: Below this number of calls a repetition is no loop over timesteps.
FEWEST = 4
#: Most calls of one timestep that one module makes: a cell applied several times to each input.
MOST_PER_TIMESTEP = 4
_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.")


@dataclass(slots=True)
class SubmoduleCalls:
    """The calls of one submodule in one group.

    Attributes:
        by_root: how many in each call of a root.
        given, returned: shapes of the tensors that the first was given and that it returned.
    """

    path: str
    module: nn.Module
    entered: list[int] = field(default_factory=list)
    by_root: list[int] = field(default_factory=list)
    inside: set[int] = field(default_factory=set)
    given: Shapes = field(default_factory=list)
    returned: Shapes = field(default_factory=list)
    stateful: int = 0
    fresh: int = 0
    batch: int | None = None
    offsets: list[int] = field(default_factory=list)
    last_outputs: list[Tensor] = field(default_factory=list)
    last_inputs: list[Tensor] = field(default_factory=list)  # living: else an id comes again
    before: int | None = None

    def returns(self, result: Any) -> None:
        """Take in what a call returned."""
        placed = list(tensors(((result,), {})))
        self.last_outputs = [tensor for _, tensor in placed]
        if len(self.entered) == 1:
            self.returned = shapes_of(placed)

    @property
    def passes(self) -> list[int]:
        """Calls of each pass over a sequence.

        One, or one for each call of a root that runs the loop anew: the twins of a siamese model.
        """
        own = [count for count in self.by_root if count]
        anew = min(own, default=0) >= FEWEST and self.stateful <= len(self.entered) - len(own)
        return own if anew else [len(self.entered)]


@dataclass(slots=True)
class Group:
    """The calls of roots that lead to one backward.

    Attributes:
        at_ns: when its last root was called; of none, when that backward began.
        repeated: timesteps of a recurrence in plain operations, where no module tells them.
    """

    at_ns: int = 0
    repeated: int | None = None
    roots: list[str] = field(default_factory=list)
    shapes: Shapes = field(default_factory=list)
    calls: dict[int, SubmoduleCalls] = field(default_factory=dict)
    root_calls: dict[int, SubmoduleCalls] = field(default_factory=dict)
    fused: list[tuple[str, int, int]] = field(default_factory=list)
    order: int = 0

    def enter(self, path: str, module: nn.Module, stack: list[int], given: Any) -> SubmoduleCalls:
        """Take in that a submodule is called."""
        calls = self.calls.setdefault(id(module), SubmoduleCalls(path, module))
        calls.inside.update(stack)
        calls.by_root += [0] * (len(self.roots) - len(calls.by_root))
        if calls.by_root:
            calls.by_root[-1] += 1
        return self._entered(calls, given)

    def enter_root(self, module: nn.Module, given: Any) -> SubmoduleCalls:
        """Take in that the script calls a root."""
        name = type(module).__name__
        return self._entered(
            self.root_calls.setdefault(id(module), SubmoduleCalls(name, module)), given
        )

    def _entered(self, calls: SubmoduleCalls, given: Any) -> SubmoduleCalls:
        placed = list(tensors(given))
        if not calls.entered:
            calls.given = shapes_of(placed)
        calls.entered.append(self.order)
        self.order += 1
        _judge_inputs(calls, [tensor for _, tensor in placed])
        return calls

    def loops(self) -> list[DiscoveredLoop]:
        """The loops over timesteps, in the order in which they begin.

        A root is one only where nothing in it is: what the script itself calls again and again may
        be anything, so it has to carry a state.
        """
        inner = {ident: t for ident, c in self.calls.items() if (t := self._timesteps(c))}
        if inner:
            return _in_turns(self.calls, inner)
        roots = {i: len(c.entered) for i, c in self.root_calls.items() if _carries(c)}
        return _in_turns(self.root_calls, roots)

    def all_calls(self) -> list[SubmoduleCalls]:
        """Of roots and of what is inside them."""
        return [*self.calls.values(), *self.root_calls.values()]

    def _timesteps(self, calls: SubmoduleCalls) -> int | None:
        """T, if ``calls`` are once (or a few times) a timestep; None if they are no such loop."""
        count, *others = calls.passes
        if count < FEWEST:
            return None
        sizes = {size for _, shape in self.shapes for size in shape if len(shape) > 1}
        if len(self.roots) >= FEWEST and not others:
            sizes = {len(self.roots)}
        if count in sizes or (sizes - {calls.batch}) & {count + 1, count - 1}:
            return count
        if not _carries(calls):
            return None
        if len(set(calls.offsets)) >= len(calls.entered) - len(calls.passes):
            return count  # each call takes what lies elsewhere: another timestep
        for several in range(2, MOST_PER_TIMESTEP + 1):
            if count % several == 0 and count // several in sizes - {calls.batch}:
                return count // several
        return count


def _in_turns(calls: dict[int, SubmoduleCalls], accepted: dict[int, int]) -> list[DiscoveredLoop]:
    """The loops of the outermost modules of ``accepted``, which says T; those in turns are one."""
    outer = [calls[ident] for ident in accepted if not calls[ident].inside & accepted.keys()]
    loops: list[DiscoveredLoop] = []
    last_call = -1
    for first in sorted(outer, key=lambda c: c.entered[0]):
        if first.entered[0] > last_call:
            turn = [c for c in outer if _take_turns(c, first)]
            stateful = [c for c in turn if c.stateful] or [first]
            timesteps = {c.path: accepted[id(c.module)] for c in stateful}
            outer_t = min(timesteps.values())  # that of the outer loop, where one lies in another
            whole = all(t % outer_t == 0 for t in timesteps.values())
            outermost = [c for c in stateful if timesteps[c.path] == outer_t or not whole]
            loops.append(_discovered(outermost, timesteps[outermost[0].path]))
            last_call = max(c.entered[-1] for c in turn)
    return loops


def _carries(calls: SubmoduleCalls) -> bool:
    """Whether each call takes what an earlier one returned together with something new."""
    count = len(calls.entered)
    stateful = calls.stateful >= count - len(calls.passes) - count // 8
    return count >= FEWEST and stateful and calls.fresh >= count // 2


def _judge_inputs(calls: SubmoduleCalls, given: list[Tensor]) -> None:
    if calls.last_outputs:
        state = [tensor for tensor in given if comes_from(tensor, calls.last_outputs)]
        old = {id(tensor) for tensor in (*state, *calls.last_inputs)}
        new = [tensor for tensor in given if id(tensor) not in old]
        calls.stateful += bool(state)
        calls.fresh += bool(new)
        if state and calls.batch is None and state[0].dim() > 1:
            calls.batch = int(state[0].shape[0])
        if new and not new[0].is_meta:
            calls.offsets.append(_offset(new[0]))
    calls.last_inputs = given


def _offset(tensor: Tensor) -> int:
    try:
        return int(tensor.storage_offset())
    except (RuntimeError, NotImplementedError):
        return 0


def _take_turns(one: SubmoduleCalls, other: SubmoduleCalls) -> bool:
    """Whether the calls of the two interleave: ``a b a b …``, or are the same."""
    return one.entered[0] <= other.entered[-1] and other.entered[0] <= one.entered[-1]


@dataclass(frozen=True, slots=True)
class DiscoveredLoop:
    """A loop over timesteps.

    Attributes:
        path: the module at whose calls a timestep begins.
        modules: all that carry state from one timestep to the next, that one first.
        per_timestep: calls of ``path`` in a timestep.
        passes: how often a group runs all of it.
        over_roots: it runs over several calls of roots, in none of which it is whole.
        as_long_as_its_root: its T was that of the root's input in every group.
        reverse: the loop runs from the last timestep to the first.
    """

    path: str
    module: nn.Module = field(repr=False)
    modules: tuple[str, ...]
    timesteps: int
    per_timestep: int
    passes: int
    over_roots: bool
    reverse: bool
    batch: int | None
    as_long_as_its_root: bool = True


def _discovered(turn: list[SubmoduleCalls], timesteps: int) -> DiscoveredLoop:
    first = turn[0]
    falling = sum(b < a for a, b in zip(first.offsets, first.offsets[1:], strict=False))
    return DiscoveredLoop(
        path=first.path,
        module=first.module,
        modules=tuple(calls.path for calls in turn),
        timesteps=timesteps,
        per_timestep=first.passes[0] // timesteps,
        passes=len(first.passes),
        over_roots=len(first.passes) == 1 and sum(map(bool, first.by_root)) > 1,
        reverse=len(first.offsets) > 2 and falling > 0.9 * (len(first.offsets) - 1),
        batch=first.batch,
    )


def plain_path(path: str) -> str:
    """Take the names of wrappers (DDP, torch.compile) off the front of a module's path."""
    while path.startswith(_WRAPPERS):
        path = path.split(".", 1)[1]
    return path
