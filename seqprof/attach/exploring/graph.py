"""T of a recurrence in plain tensor operations, from autograd's graph.

No module is called once a timestep there, but each timestep uses the same weights: a parameter has
as many consumers in the graph as there are timesteps, and the outputs are stacked from as many
parts. Layers that are no recurrence have weights of their own, with one consumer each.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor

from seqprof.attach.exploring.discovery import FEWEST
from seqprof.attach.exploring.tensors import tensors

#: A graph with more nodes is not looked at: a script must not wait for it.
_MOST_NODES = 200_000
_LEAF, _JOINS = "AccumulateGrad", ("StackBackward", "CatBackward")
#: What makes of a weight the same weight: a copy in another dtype (autocast), another view of it.
_SAME = (
    "ToCopyBackward", "TBackward", "TransposeBackward", "PermuteBackward", "ViewBackward",
    "ReshapeAliasBackward", "UnsafeViewBackward", "CloneBackward",
)  # fmt: skip


def repeated_use(outputs: Any, since: int = 0) -> int | None:
    """How often the operations behind ``outputs`` use the same weights; None if they do not.

    Args:
        outputs: what a backward starts from: a tensor, or several.
        since: what was recorded before this number belongs to an earlier backward: a graph that is
            retained grows with each loss.
    """
    consumers, joined = _count([tensor for _, tensor in tensors(outputs)], since)
    used = Counter(count for count in consumers.values() if count >= FEWEST)
    if not used:
        return None
    divisors = [n for n in joined if any(count % n == 0 for count in used)]
    return max(divisors) if divisors else max(used, key=lambda count: (used[count], -count))


def _count(outputs: list[Tensor], since: int) -> tuple[dict[Any, int], list[int]]:
    """Consumers of each weight, and of how many parts each stack or concatenation is made."""
    consumers: dict[Any, int] = {}
    joined: list[int] = []
    nodes = [tensor.grad_fn for tensor in outputs]
    front = [node for node in nodes if node is not None and _number(node) >= since]
    seen = set(front)
    while front and len(seen) < _MOST_NODES:
        node = front.pop()
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if node.name().startswith(_JOINS) and len(parents) >= FEWEST:
            joined.append(len(parents))
        for parent in parents:
            if _is_weight(parent):
                consumers[parent] = consumers.get(parent, 0) + 1
            if parent not in seen and _number(parent) >= since:
                seen.add(parent)
                front.append(parent)
    return consumers, joined


def _number(node: Any) -> int:
    return int(node._sequence_nr())


def _is_weight(node: Any) -> bool:
    """Whether a node gives a leaf, or what is made of one alone."""
    while node.name().startswith(_SAME) and len(node.next_functions) == 1:
        node = node.next_functions[0][0]
        if node is None:
            return False
    return bool(node.name().endswith(_LEAF))
