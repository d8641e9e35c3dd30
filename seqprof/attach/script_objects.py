"""The objects of the script that events name: each has a number, and is told of once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from seqprof.attach.callees import Callee, describe_callee

if TYPE_CHECKING:
    from seqprof.attach.recorder import Recorder


class ScriptObjects:
    """Loaders, optimizers and modules, as long as they live.

    Attributes:
        callees: roots and criteria by ``id``.
        first_of_class: the first callee of each class, which tells where another's sizes stand.
        keys: numbers of the script's objects by ``id``.
        at_new_optimizer: called when an optimizer is made, and when it is stepped first.
        sizes: those stored last, of whichever root.
    """

    __slots__ = (
        "_keys_given", "_known", "at_new_optimizer", "callees", "first_of_class", "keys",
        "recorder", "sizes",
    )  # fmt: skip
    recorder: Recorder
    fail: Callable[[BaseException], None]

    def __init__(self) -> None:
        self.callees: dict[int, Callee] = {}
        self.first_of_class: dict[type, Callee] = {}
        self.at_new_optimizer: Callable[[], None] = lambda: None
        self.sizes = -1
        self.keys: dict[int, int] = {}
        self._known: dict[int, weakref.ref[Any]] = {}
        self._keys_given = 0

    def _key_of(self, thing: Any, sort: str, **facts: Any) -> int:
        """Return the number of an object of the script, and say what it is when it is new."""
        key = self.keys.get(id(thing))
        if key is None:
            self._keys_given = key = self._keys_given + 1
            self.keys[id(thing)] = key
            self._remember(thing)
            self.recorder.fact(sort, key=key, **facts)
        return key

    def _remember(self, thing: Any) -> None:
        """An ``id`` is an object's own only as long as it lives.

        It must not live longer for us: a DDP module that the script has let go of before it ends
        its process group would be torn down after it.
        """
        ident = id(thing)

        def forget(_gone: Any) -> None:
            for names in (self.keys, self.callees, self._known):
                names.pop(ident, None)

        self._known[ident] = weakref.ref(thing, forget)

    def new_loader(self, iterator: Any) -> int:
        """Number of the loader of an iterator; it is its sampler that lives as long as it does."""
        dataset = type(iterator._dataset).__name__
        workers = iterator._num_workers
        return self._key_of(iterator._index_sampler, "loader", dataset=dataset, workers=workers)

    def new_optimizer(self, optimizer: Any) -> int:
        """Number of an optimizer."""
        self.at_new_optimizer()
        groups = optimizer.param_groups
        size = sum(p.numel() for group in groups for p in group["params"])
        return self._key_of(optimizer, "optimizer", name=type(optimizer).__name__, parameters=size)

    def optimizer_key(self, args: Any, kwargs: Any, flags: int) -> int:
        """Number of the optimizer that a scaler is about to step; 0 in its other methods."""
        if flags:
            return 0
        optimizer = args[0] if args else kwargs["optimizer"]
        return self.keys.get(id(optimizer)) or self.new_optimizer(optimizer)

    def callee_of(self, module: Any) -> Callee:
        """Return the root or criterion that ``module`` is."""
        callee = self.callees.get(id(module))
        if callee is None:
            facts = describe_callee(module)
            key = self._key_of(module, "module", **facts)
            callee = Callee(cast(Any, self), key, root=facts["parameters"] > 0)
            self.callees[id(module)] = callee
            self.first_of_class.setdefault(type(module), callee)
        return callee

    def adopt(self, module: Any) -> Callee | None:
        """Take in what the script calls for the first time after the exploring.

        A copy (averaged weights), or the model of the next fold: its sizes stand where they stand
        in a call of another of its class.
        """
        try:
            callee = self.callee_of(module)
            callee.read_sizes_as(self.first_of_class[type(module)])
            self.heed_sizes()
        except Exception as error:
            self.fail(error)
            return None
        return callee

    def heed_sizes(self) -> None:
        """Where one root's sizes are read, those of every root are said, if only as unknown.

        Else a call would seem to have the sizes of the one before, which may be another's.
        """
        roots = [callee for callee in self.callees.values() if callee.root]
        if any(root.attentive for root in roots):
            for root in roots:
                root.attentive = True

    def living(self, ident: int) -> weakref.ref[Any] | None:
        """The object of an ``id``, as long as it lives."""
        return self._known.get(ident)

    def called_modules(self) -> list[Any]:
        """The modules of all callees."""
        living = [self._known[ident]() for ident in list(self.callees)]
        return [module for module in living if module is not None]
