"""What the modules of a model are seen doing in one forward: where they say that time is.

A forward is run while it is seen what shapes the modules get that say themselves where time is
(``nn.LSTM(batch_first=…)``), and how often others are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

#: Modules that read a whole sequence and say by ``batch_first`` where time is in it.
_SAYING = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


@dataclass(slots=True)
class ModuleEvidence:
    """What the modules of a model were seen doing in one forward.

    Attributes:
        sequences: T, B and the words for it, of each module that says where time is.
        calls: of each module, the shape of what it got in each of its calls.
        convolved: sizes of what each convolution over time got, time last or third.
    """

    sequences: list[tuple[int, int | None, str]] = field(default_factory=list)
    calls: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    convolved: list[tuple[int, str]] = field(default_factory=list)


def watch(model: nn.Module, forward: Callable[[], object], seen: ModuleEvidence) -> None:
    """Run ``forward`` and note in ``seen`` what was seen; what it raises is passed on."""
    handles = []

    def watcher(path: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = [*args, *kwargs.values()]
            value = next((v for v in values if isinstance(v, Tensor | PackedSequence)), None)
            _note(seen, path, module, value)

        return enter

    for path, module in model.named_modules():
        if path and not isinstance(module, torch.jit.ScriptModule):  # those take no hooks
            hook = watcher(path)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()


def _note(seen: ModuleEvidence, path: str, module: nn.Module, value: Any) -> None:
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    sizes = None
    if isinstance(module, _SAYING) and value is not None:
        sizes = _said_sizes(module, value)
        if sizes is not None and sizes[0] == 1:  # stepped by hand
            shape = (sizes[1] or 0, *shape[2:])
    seen.calls.setdefault(path, []).append(shape)
    if sizes is not None:
        if sizes[0] > 1:
            name = type(module).__name__
            first_dim = _batch_first(module)
            how = "packed" if first_dim is None else f"batch_first={first_dim}"
            seen.sequences.append((*sizes, f"{name} `{path}` ({how})"))
    elif isinstance(value, Tensor) and isinstance(module, nn.Conv1d | nn.Conv3d):
        rank = 3 if isinstance(module, nn.Conv1d) else 5
        if value.dim() == rank:
            seen.convolved.append((value.shape[2], f"{type(module).__name__} `{path}`"))


def _batch_first(module: nn.Module) -> bool | None:
    inner = getattr(module, "self_attn", module)
    return bool(getattr(inner, "batch_first", False))


def _said_sizes(module: nn.Module, value: Tensor | PackedSequence) -> tuple[int, int | None] | None:
    if isinstance(value, PackedSequence):
        return len(value.batch_sizes), int(value.batch_sizes[0])
    if value.dim() == 2:
        return value.shape[0], None
    if value.dim() != 3:
        return None
    time = 1 if _batch_first(module) else 0
    return value.shape[time], value.shape[1 - time]


class quietly:  # noqa: N801 - used as a function
    """Context: no gradients, the model not compiled, the CPU's generator as it was afterwards."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        self._compiled = self._model.__dict__.pop("_compiled_call_impl", None)
        self._gradients = torch.no_grad()
        self._gradients.__enter__()

    def __exit__(self, *error: object) -> None:
        self._gradients.__exit__(None, None, None)
        if self._compiled is not None:
            self._model.__dict__["_compiled_call_impl"] = self._compiled
        torch.set_rng_state(self._state)
