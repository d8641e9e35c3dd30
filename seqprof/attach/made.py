"""The optimizers of a process, and whether one of them can belong to the loop that is watched."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Container, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer


class MadeOptimizers:
    """Optimizers by weak reference; one left over from another model trains nothing here."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Any]] = []
        self._answer: tuple[tuple[int, ...], bool] | None = None

    def __len__(self) -> int:
        return len(self._made)

    def add(self, optimizer: Any) -> None:
        """An optimizer was made, or is there already."""
        self._made.append(weakref.ref(optimizer))

    def living(self) -> list[Any]:
        """The optimizers that have not been given up."""
        return [optimizer for made in self._made if (optimizer := made()) is not None]

    def may_train(self, modules: Sequence[nn.Module]) -> bool:
        """Whether a living optimizer has a parameter of ``modules``; of none, whether one lives.

        Args:
            modules: those that the loop has called so far.
        """
        state = (len(self._made), *map(id, modules))
        if self._answer is None or self._answer[0] != state:
            self._answer = state, self._look(modules)
        return self._answer[1]

    def awaits(self, modules: Sequence[nn.Module], stepped: Container[int]) -> bool:
        """Whether a living optimizer of ``modules`` is none of ``stepped``, by ``id``, yet.

        A generator may be trained after several updates of its critic.
        """
        unstepped = [one for one in self.living() if id(one) not in stepped]
        return bool(_called(modules) & _trained(unstepped))

    def _look(self, modules: Sequence[nn.Module]) -> bool:
        living = self.living()
        called = _called(modules)
        return bool(called & _trained(living)) if called else bool(living)


def _called(modules: Sequence[nn.Module]) -> set[int]:
    """Parameters of modules, each by ``id``."""
    return {id(parameter) for module in modules for parameter in module.parameters()}


def _trained(optimizers: Sequence[Any]) -> set[int]:
    """Parameters that optimizers step, each by ``id``."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return {id(parameter) for group in groups for parameter in group["params"]}


def living_optimizers() -> list[Optimizer]:
    """The optimizers that there are: those made before us cannot be seen as they come."""
    return [thing for thing in gc.get_objects() if issubclass(type(thing), Optimizer)]
