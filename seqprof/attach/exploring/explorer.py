"""Watch every module call of the first iterations, and say what they tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import get_ident
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from torch import is_grad_enabled, nn
from torch.nn.utils.rnn import PackedSequence

from seqprof.attach.exploring.discovery import DiscoveredLoop, Group, SubmoduleCalls, plain_path
from seqprof.attach.exploring.graph import repeated_use
from seqprof.attach.exploring.sizes import SizeReader, size_readers, sizes_of
from seqprof.attach.exploring.tensors import is_compiled, shapes_of, tensors
from seqprof.instruments.gradient_nodes import sequence_number

if TYPE_CHECKING:
    from seqprof.attach.callees import Callee
    from seqprof.attach.session import Session

Call = Callable[..., Any]

#: Groups that are kept to find out where a call's T stands.
_MOST_GROUPS = 16


class Explorer:
    """Stands in for ``nn.Module.__call__`` until the loop is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stack: list[int] = []
        self._names: dict[int, str] = {}
        self._group, self._since = Group(), sequence_number()
        self._groups: list[tuple[Group, list[DiscoveredLoop]]] = []
        self._forwards: list[tuple[Group, list[DiscoveredLoop]]] = []
        self._watching = self._gradients = False
        self._thread: int | None = None
        self._root: SubmoduleCalls | None = None
        self.compiled = False

    def call(self, original: Call, watched: Call, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Call ``module`` as ``original`` would; ``watched`` does it with a root's stamps."""
        self._thread = self._thread or get_ident()
        if self._thread != get_ident() or self._session.inside_backward:  # a checkpoint's, again
            return original(module, *args, **kwargs)
        if is_compiled(module):  # torch.compile must not see a hook of ours
            self.compiled = True
            if self._stack:
                self._session.at_explored()
                return original(module, *args, **kwargs)
            self._session.callee_of(module)
            self._session.at_explored()
            return module(*args, **kwargs)  # its class has our hook now
        if self._stack:
            return self._inner(original, module, args, kwargs)
        return self._outer(original, watched, module, args, kwargs)

    def _outer(
        self, original: Call, watched: Call, module: nn.Module, args: Any, kwargs: Any
    ) -> Any:
        try:
            self._begin(self._session.callee_of(module), module, args, kwargs)
        except Exception as error:
            self._session.fail(error)
            return original(module, *args, **kwargs)
        result: Any = None
        try:
            result = watched(module, *args, **kwargs)
            return result
        finally:
            self._stack.clear()
            self._end(result)

    def _begin(self, callee: Callee, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._stack.append(id(module))
        self._gradients = is_grad_enabled()
        self._watching = callee.root and (self._gradients or not self._session.trained)
        if self._watching:
            self._begin_root(module, args, kwargs)

    def _end(self, result: Any) -> None:
        if self._root is not None:
            self._root.returns(result)
            self._root = None
        if self._watching and not self._gradients:
            try:
                self.close_group(without_gradients=True)
            except Exception as error:
                self._session.fail(error)
        self._watching = False

    def _begin_root(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._group.roots:
            self._group.shapes = shapes_of(tensors((args, kwargs)))
        self._group.roots.append(str(id(module)))
        self._root = self._group.enter_root(module, (args, kwargs))
        if isinstance(module, nn.RNNBase):
            self._group.fused.append((type(module).__name__, *_fused_size(module, args, kwargs)))
        for path, submodule in module.named_modules():
            self._names[id(submodule)] = plain_path(path)

    def entered(self) -> None:
        """The root's call has begun, and is recorded as begun."""
        self._group.at_ns = perf_counter_ns()

    def _inner(self, original: Call, module: nn.Module, args: Any, kwargs: Any) -> Any:
        path = self._names.get(id(module))
        if path is None or not self._watching:
            return original(module, *args, **kwargs)
        calls = self._enter(path, module, args, kwargs)
        self._stack.append(id(module))
        try:
            result = original(module, *args, **kwargs)
        finally:
            self._stack.pop()
        if calls is not None:
            calls.returns(result)
        return result

    def _enter(self, path: str, module: nn.Module, args: Any, kwargs: Any) -> SubmoduleCalls | None:
        try:
            if isinstance(module, nn.RNNBase):
                self._group.fused.append((path, *_fused_size(module, args, kwargs)))
            return self._group.enter(path, module, self._stack, (args, kwargs))
        except Exception as error:
            self._session.fail(error)
            self._watching = False
            return None

    def close_group(self, outputs: Any = (), without_gradients: bool = False) -> None:
        """A backward begins: what was called since the last one belongs together.

        Args:
            outputs: what the backward starts from.
            without_gradients: there is no backward; this was one forward of an inference loop, or
                an evaluation before training.
        """
        group, self._group = self._group, Group()
        since, self._since = self._since, sequence_number()
        group.at_ns = group.at_ns or perf_counter_ns()
        groups = self._forwards if without_gradients else self._groups
        if len(groups) >= _MOST_GROUPS or (without_gradients and not group.roots):
            return
        loops = group.loops()
        for calls in group.all_calls():
            calls.last_outputs, calls.last_inputs = [], []
        if not any(sizes_of(group, loops)):
            group.repeated = _repeated(group, outputs, since)
        if group.roots or group.repeated:
            groups.append((group, loops))

    @property
    def _seen(self) -> list[tuple[Group, list[DiscoveredLoop]]]:
        return self._groups or self._forwards

    @property
    def roots(self) -> set[int]:
        """Roots (each its ``id``) whose calls were explored."""
        return {int(root) for group, _ in self._seen for root in group.roots}

    def fused_paths(self) -> list[str]:
        """Recurrent layers that take a whole sequence in one call."""
        return list(dict.fromkeys(path for group, _ in self._seen for path, *_ in group.fused))

    @property
    def several_roots(self) -> bool:
        """Whether roots are called several times before a backward."""
        return any(len(group.roots) > 1 for group, _ in self._seen)

    @property
    def timestep_root(self) -> int | None:
        """The root (its ``id``) that is called once a timestep, or that many times in each."""
        for group, loops in self._seen:
            if loops and id(loops[0].module) in group.root_calls:
                return id(loops[0].module)
            if not loops or loops[0].passes > 1:
                continue
            calls = loops[0].timesteps * loops[0].per_timestep
            of_first = group.root_calls[int(group.roots[0])] if group.roots else None
            if of_first is not None and calls in (len(group.roots), len(of_first.entered)):
                return int(group.roots[0])
        return None

    @property
    def loops(self) -> list[DiscoveredLoop]:
        """The loops of all groups, each as it was found last."""
        seen: dict[int, list[tuple[DiscoveredLoop, int]]] = {}
        for _, loops in self._seen:
            for loop in loops:
                seen.setdefault(id(loop.module), []).append((loop, loops[0].timesteps))
        return [
            replace(
                each[-1][0],
                as_long_as_its_root=all(loop.timesteps == longest for loop, longest in each),
            )
            for each in seen.values()
        ]

    def sizes(self) -> list[tuple[int, int | None, int | None]]:
        """When each group was called, T and the batch size of each pass in it, where known."""
        return [
            (group.at_ns, *sizes_of(group, loops))
            for group, loops in self._seen
            for _ in range(loops[0].passes if loops else 1)
        ]

    @property
    def repeats_operations(self) -> bool:
        """Whether T is that of operations that repeat."""
        return any(group.repeated for group, _ in self._seen)

    def size_readers(self) -> dict[int, SizeReader]:
        """Per root (its ``id``): how T and the batch size of its calls are read."""
        return size_readers(self._seen)


def _repeated(group: Group, outputs: Any, since: int) -> int | None:
    """T by operations that repeat; where a module was given the sequence, T is a size of it."""
    repeated = repeated_use(outputs, since)
    sizes = {size for _, shape in group.shapes for size in shape}
    return repeated if not group.roots or repeated in sizes else None


def _fused_size(module: nn.RNNBase, args: Any, kwargs: Any) -> tuple[int, int]:
    """(T, B) of a recurrent layer's call; packed: of its longest sequence."""
    given = args[0] if args else kwargs["input"]
    if isinstance(given, PackedSequence):
        return int(given.batch_sizes.numel()), int(given.batch_sizes[0])
    if given.dim() == 2:
        return int(given.shape[0]), 1
    time, batch = (1, 0) if module.batch_first else (0, 1)
    return int(given.shape[time]), int(given.shape[batch])
