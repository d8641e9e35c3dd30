"""Modules that the script itself calls: roots, which have parameters, and criteria."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from seqprof.analysis.loop.kinds import Flag, Kind, pack
from seqprof.attach.exploring.sizes import SizeReader
from seqprof.attach.exploring.tensors import ReadSize
from seqprof.attach.inner_sizes import InnerSize

if TYPE_CHECKING:
    from seqprof.attach.session import Session

_SHAPE, _KEY, _BATCH = int(Kind.SHAPE), 24, 20
_MOST = (1 << 20) - 1
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "OptimizedModule", "_FabricModule")


class Callee:
    """What is recorded of each call of one root or criterion.

    Attributes:
        key: the module's number.
        codes: of the event of a call's beginning, by 2 · gradients + training mode.
        out: code of its end.
        attentive: sizes are read at each call.
    """

    def __init__(self, session: Session, key: int, *, root: bool) -> None:
        self._session = session
        self.key, self.root = key, root
        kind = Kind.FORWARD_IN if root else Kind.CRITERION_IN
        flags = (0, Flag.TRAINING, Flag.GRAD, Flag.GRAD | Flag.TRAINING)
        self.codes = tuple(pack(kind, flag, key=key) for flag in flags)
        self.out = pack(kind + 1, key=key)
        self.attentive = False
        self._timesteps: ReadSize | None = None
        self._batch: ReadSize | None = None
        self._inner: InnerSize | None = None

    def read_sizes(self, reader: SizeReader, *, inside: bool) -> None:
        """Say where T and the batch size of a call are found; ``inside``: within the root, too."""
        self._timesteps, self._batch = reader.timesteps, reader.batch
        self._inner = InnerSize(reader.inside) if inside and reader.inside else None
        self.attentive = bool(self._timesteps or self._batch or self._inner)

    def read_sizes_as(self, other: Callee) -> None:
        """Read them where ``other`` does, in its arguments."""
        self._timesteps, self._batch = other._timesteps, other._batch
        self.attentive = bool(self._timesteps or self._batch)

    def begin(self, module: nn.Module, args: Any, kwargs: Any, grad: bool) -> None:
        """What is to be done at a call besides the stamp."""
        session = self._session
        if not self.root or not session.attentive:
            return
        try:
            session.at_forward(grad)  # it may find out where sizes are
            if session.explorer is not None:
                session.explorer.entered()
            timesteps = self.tell_sizes(args, kwargs, grad) if self.attentive else 0
            wanted = session.inference or (grad and module.training)
            if session.marking and session.marks is not None and wanted:
                session.marks.attach(timesteps)
            if session.counting is not None and wanted:
                session.counting.begin("forward")
        except Exception as error:
            session.fail(error)

    def finish(self) -> None:
        """The call has ended."""
        session = self._session
        if self.root:
            if session.marking and session.marks is not None:
                session.marks.detach()
            session.after_forward()

    def tell_sizes(self, args: Any, kwargs: Any, grad: bool) -> int:
        """Store the sizes of what trains when they are not those of the call before.

        Returns T, 0 where it is not known.
        """
        session = self._session
        if not grad and not session.inference:
            return 0
        try:
            t = self._timesteps(args, kwargs) if self._timesteps else 0
            b = self._batch(args, kwargs) if self._batch else 0
            if self._inner is not None:
                self._inner.wait(lambda inner_t: self._store(inner_t, b))
                return 0
        except (LookupError, AttributeError, TypeError):  # this call's arguments are others
            t = b = 0
        except Exception as error:
            session.fail(error)
            return 0
        self._store(t, b)
        return t

    def _store(self, t: int, b: int) -> None:
        session = self._session
        sizes = min(t, _MOST) | min(b, _MOST) << _BATCH
        if sizes != session.sizes:
            session.sizes = sizes
            session.leave(_SHAPE | sizes << _KEY)

    def let_go(self) -> None:
        """Leave nothing in the module."""
        if self._inner is not None:
            self._inner.leave()


def describe_callee(module: nn.Module) -> dict[str, Any]:
    """Name, size and device of a module, for the report."""
    parameters = list(module.parameters())
    inner = module
    while type(inner).__name__ in _WRAPPERS and len(inner._modules) == 1:
        inner = next(iter(inner._modules.values())) or inner
    return {
        "name": type(inner).__name__,
        "wrapper": type(module).__name__ if inner is not module else None,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "device": str(parameters[0].device) if parameters else None,
        "dtype": str(parameters[0].dtype).removeprefix("torch.") if parameters else None,
        "autocast": _autocast(parameters[0].device.type) if parameters else None,
    }


def _autocast(device: str) -> str | None:
    if not torch.is_autocast_enabled(device):
        return None
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
