"""What a function of the user's takes, read from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

#: Names by which people call them; compared without case and without a number at the end.
TARGET_NAMES = frozenset(
    {"target", "targets", "label", "labels", "y", "y_true", "gold", "labels_ids", "label_ids"}
)
LENGTH_NAMES = frozenset({"length", "lengths", "lens", "seq_len", "seqlen", "seq_length"})
_LENGTH_ENDINGS = ("_lengths", "_lens", "_length", "lengths", "_len")
STATE_NAMES = frozenset(
    {
        "state", "states", "hidden", "hiddens", "h", "hx", "hc", "hidden_state", "hidden_states",
        "initial_state", "init_state", "initial_states", "prev_state", "rnn_state", "carry",
        "past_state", "h_c", "h_prev", "recurrent_state",
    }
)  # fmt: skip


def is_target_name(name: object) -> bool:
    """Whether a parameter, a key or a field of this name holds targets."""
    return _plain(name) in TARGET_NAMES


def is_length_name(name: object) -> bool:
    """Whether a parameter, a key or a field of this name holds the sequences' lengths."""
    plain = _plain(name)
    if plain.startswith(("max", "min", "total")):  # a bound, not the lengths of these sequences
        return False
    return plain in LENGTH_NAMES or plain.endswith(_LENGTH_ENDINGS)


def is_state_name(name: object) -> bool:
    """Whether a parameter of this name takes a recurrent state."""
    return _plain(name) in STATE_NAMES


def _plain(name: object) -> str:
    return str(name).lower().rstrip("0123456789")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What can be given to a function.

    Attributes:
        names: of the parameters that can be given by position, in order, or by name.
        required: those of ``names`` and ``named_only`` without a default.
        named_only: parameters that are given by name only.
        any_positions: whether it takes further ones by position (``*args``).
        any_names: whether it takes further ones by name (``**kwargs``).
    """

    names: tuple[str, ...]
    required: frozenset[str] = frozenset()
    named_only: tuple[str, ...] = ()
    any_positions: bool = False
    any_names: bool = False

    @property
    def all_names(self) -> tuple[str, ...]:
        return (*self.names, *self.named_only)

    def first(self, fits: Callable[[str], bool], after: int = 0) -> str | None:
        """Return the first name for which ``fits`` holds, from position ``after`` on."""
        return next((n for n in (*self.names[after:], *self.named_only) if fits(n)), None)

    def takes(self, count: int) -> bool:
        """Whether ``count`` values by position are neither too few nor too many."""
        needed = sum(name in self.required for name in self.names)
        return needed <= count and (self.any_positions or count <= len(self.names))

    @property
    def in_words(self) -> str:
        """``forward(x, state, lengths=…)``, without its name."""
        shown = [name if name in self.required else f"{name}=…" for name in self.all_names]
        shown += ["*args"] * self.any_positions + ["**kwargs"] * self.any_names
        return f"({', '.join(shown)})"


def of_model(model: nn.Module) -> Parameters | None:
    """Return what the model's ``forward`` takes; None where its signature cannot be read."""
    schema = getattr(model.forward, "schema", None)  # TorchScript has no Python signature
    if schema is not None:
        arguments = list(schema.arguments)[1:]
        required = frozenset(a.name for a in arguments if not a.has_default_value())
        return Parameters(tuple(a.name for a in arguments), required)
    return of_function(model.forward)


def of_function(function: Callable[..., Any]) -> Parameters | None:
    """Return what ``function`` takes; None where its signature cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = inspect.Parameter

    def names(*wanted: Any) -> tuple[str, ...]:
        return tuple(p.name for p in parameters if p.kind in wanted)

    return Parameters(
        names=names(kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD),
        required=frozenset(
            p.name
            for p in parameters
            if p.default is kinds.empty and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        ),
        named_only=names(kinds.KEYWORD_ONLY),
        any_positions=bool(names(kinds.VAR_POSITIONAL)),
        any_names=bool(names(kinds.VAR_KEYWORD)),
    )


def having(names: Iterable[object], fits: Callable[[object], bool]) -> list[Any]:
    """Return those of ``names`` for which ``fits`` holds."""
    return [name for name in names if fits(name)]
