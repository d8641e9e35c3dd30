"""Linear recurrences over the second dimension of tensors: as a parallel scan and as a loop.

The scan is that of Blelloch 1990: neighbours are combined in pairs, the pairs are scanned, and what
lies between them is filled in. Over T elements it applies the operator about 2·T times, in
2·ceil(log2 T) rounds of whole-tensor operations; so does its backward. How a linear recurrence
becomes an associative operator: Martin & Cundy 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Elements of a scan: tensors ``[B, T, …]`` that belong together. B may be 1 to broadcast.
Elements: TypeAlias = tuple[Tensor, ...]
#: Combines earlier with later elements, pointwise in time; must be associative.
Combine: TypeAlias = Callable[[Elements, Elements], Elements]


def associative_scan(combine: Combine, elements: Elements) -> Elements:
    """Return the inclusive prefixes of ``elements`` under ``combine``, along dimension 1.

    Args:
        combine: ``(earlier, later) -> combined``; must accept zeros (padding at the end) finitely.
        elements: each ``[B, T, …]``.

    Returns:
        Tensors with the shapes that ``combine`` gives, ``[B, T, …]``.
    """
    length = elements[0].shape[1]
    if length == 1:
        return elements
    if length % 2:
        # What comes after all that counts changes nothing before it.
        padded = tuple(_pad_end(element, 1) for element in elements)
        return tuple(_split(prefix, length)[0] for prefix in associative_scan(combine, padded))
    # Splitting by a view and unbind: the backward is one stack, not zeros with strided writes.
    halves = [torch.unflatten(element, 1, (length // 2, 2)).unbind(2) for element in elements]
    even, odd = tuple(half[0] for half in halves), tuple(half[1] for half in halves)
    at_odd = associative_scan(combine, combine(even, odd))
    before = tuple(_split(prefix, length // 2 - 1)[0] for prefix in at_odd)
    first, later = zip(*(_split(element, 1) for element in even), strict=True)
    at_even = combine(before, later)
    return tuple(
        torch.stack((torch.cat((head, rest), 1), prefix), 2).flatten(1, 2)
        for head, rest, prefix in zip(first, at_even, at_odd, strict=True)
    )


def _split(element: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` timesteps and the others; its backward joins, and fills nothing."""
    head, rest = torch.split(element, [count, element.shape[1] - count], 1)
    return head, rest


def _pad_end(element: Tensor, count: int) -> Tensor:
    return F.pad(element, (0, 0) * (element.dim() - 2) + (0, count))


def combine_linear(earlier: Elements, later: Elements) -> Elements:
    """h ↦ a₂(a₁h + b₁) + b₂ as ``(a₁a₂, a₂b₁ + b₂)``, on pairs ``(a, b)``."""
    (a1, b1), (a2, b2) = earlier, later
    return a1 * a2, torch.addcmul(b2, a2, b1)


def combine_log_linear(earlier: Elements, later: Elements) -> Elements:
    """The same on logarithms of positive ``(a, b)``, without leaving them (Feng et al. 2024)."""
    (a1, b1), (a2, b2) = earlier, later
    return a1 + a2, torch.logaddexp(a2 + b1, b2)


class Advance(nn.Module):
    """One timestep of a linear recurrence. One call is one timestep, so it can be timed."""

    def forward(self, h: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return a⊙h + b; all ``[B, …]``."""
        return torch.addcmul(b, a, h)


class LinearRecurrence(nn.Module):
    """h_t = a_t⊙h_{t-1} + b_t from h_{-1} = 0, in parallel or, to compare with, in a loop."""

    def __init__(self, *, sequential: bool) -> None:
        super().__init__()
        self.advance = Advance() if sequential else None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map ``[B, T, …]`` (a may broadcast to b) to all h, shaped like b."""
        if self.advance is None:
            return associative_scan(combine_linear, (a, b))[1]
        return run_sequentially(self.advance, a, b)


def run_sequentially(advance: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """The recurrence as a chain of T calls of ``advance``."""
    h = torch.zeros_like(b.select(1, 0))
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = cast(Tensor, advance(h, a_t, b_t))
        states.append(h)
    return torch.stack(states, 1)


def full_precision(x: Tensor) -> Tensor:
    """float32 for what autocast made shorter: rounding adds up along a recurrence."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
