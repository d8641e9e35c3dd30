"""Marks at the timesteps of a recurrence, forward and in BPTT.

::

    forward    E0 [call 0] E1 [call 1] E2 …  E(T-1) [call T-1] X
               |-- t=0 ----|-- t=1 ----|     |----- t=T-1 -----|
    backward   G(T-1) … G1 (backward of call 1) G0 (backward of call 0) F
                        |-------- t=1 ---------|--------- t=0 ---------|

``E`` is taken at the entry of a call of the timestep module and ``X`` when the last one returns.
``G`` is taken when the gradient of a call's output is complete: by a prehook of the autograd node
that made the output, which runs once all gradients of the node have been summed. ``F`` is taken
when the last node that call 0 made has run; what follows (embedding, gradient accumulation of what
came before the loop) belongs to the phase.

A stamp is whatever ``read()`` returns: host nanoseconds, a pair of nanoseconds and an event, or a
number of operations. Only marked calls pay for a mark; the others pay for one Python call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from seqprof.instruments.loops import Loop

#: What to do at a call, as bits; above them stands the index of the call.
_ENTRY, _GRADIENT, _FIRST, _LAST, _BEYOND = 1, 2, 4, 8, 16
_EDGE = _FIRST | _LAST | _BEYOND
_INDEX_SHIFT = 5

Read = Callable[[], Any]


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor with a gradient in a module's output: h of an LSTM cell's ``(h, c)``."""
    if isinstance(output, Tensor):
        return output if output.grad_fn is not None else None
    if isinstance(output, dict):
        output = output.values()
    if isinstance(output, (tuple, list)) or hasattr(output, "__iter__"):
        return next((found for item in output if (found := first_tensor(item)) is not None), None)
    return None


def _sequence_number() -> int:
    """Autograd's counter on this thread; nodes made from now on have this number or a higher one.

    torch has no public name for it; the nodes' own ``_sequence_nr`` is compared with it.
    """
    return int(torch._C._autograd._get_sequence_nr())


def last_nodes(tensor: Tensor, sequence_number: int) -> list[Node]:
    """The autograd nodes behind ``tensor``, made since then, of which one is the last to run.

    These are the nodes that hand their gradients to older nodes and leaves only.
    """
    assert tensor.grad_fn is not None
    pending, seen, last = [tensor.grad_fn], {tensor.grad_fn}, []
    while pending:
        node = pending.pop()
        inner = [
            parent
            for parent, _ in node.next_functions
            # A leaf's accumulator is the one node that knows a `variable`.
            if parent is not None
            and not hasattr(parent, "variable")
            and parent._sequence_nr() >= sequence_number
        ]
        if not inner:
            last.append(node)
        pending.extend(parent for parent in inner if parent not in seen)
        seen.update(inner)
    return last


@dataclass(slots=True)
class LoopMarks:
    """The stamps of one loop in one step, by call index over the whole step.

    With micro-batches or chunks a step has several segments of calls; ``firsts`` and ``lasts`` are
    the indices at which they begin and end.
    """

    loop: Loop
    entries: list[Any]
    gradients: list[Any]
    exits: dict[int, Any] = field(default_factory=dict)
    ends: dict[int, Any] = field(default_factory=dict)
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    calls_missing: int = 0
    calls_beyond: int = 0

    def forward_span(self, i: int) -> tuple[Any, Any]:
        """Stamps around call ``i`` of the forward; ``None`` where not marked."""
        last = i in self.exits or i + 1 == len(self.entries)
        return self.entries[i], self.exits.get(i) if last else self.entries[i + 1]

    def backward_span(self, i: int) -> tuple[Any, Any]:
        """Stamps around the backward of call ``i``; ``None`` where not marked."""
        return self.gradients[i], self.ends.get(i) if i in self.firsts else self.gradients[i - 1]

    def forward_segments(self) -> list[tuple[Any, Any]]:
        """Stamps around each whole loop of the forward."""
        return [
            (self.entries[a], self.exits.get(b))
            for a, b in zip(self.firsts, self.lasts, strict=True)
        ]

    def backward_segments(self) -> list[tuple[Any, Any]]:
        """Stamps around each whole loop of the backward."""
        return [
            (self.gradients[b], self.ends.get(a))
            for a, b in zip(self.firsts, self.lasts, strict=True)
        ]


class TimestepProbe:
    """Takes the marks of all loops of a model in one step at a time.

    Args:
        loops: the timestep modules.
        calls: calls of each in one step, all micro-batches and chunks together.
        read: gives a stamp.
    """

    def __init__(self, loops: Sequence[Loop], calls: int, read: Read) -> None:
        self._read = read
        self._calls = calls
        self._loops = loops
        self._codes: list[int] = [0] * calls
        self._attached: list[_Attached] = []
        self.marks: list[LoopMarks] = []

    def begin_step(self, forward: Sequence[bool], backward: Sequence[bool]) -> None:
        """Start a step in which the calls chosen by the two masks (length ``calls``) are marked.

        A span needs the mark that ends it too: that of the next call in the forward, of the
        previous call in the backward.
        """
        entry = [f or (i > 0 and forward[i - 1]) for i, f in enumerate(forward)]
        gradient = [b or any(backward[i + 1 : i + 2]) for i, b in enumerate(backward)]
        self._codes = [
            _code(i, e * _ENTRY | g * _GRADIENT)
            for i, (e, g) in enumerate(zip(entry, gradient, strict=True))
        ]
        self.marks = [
            LoopMarks(loop, [None] * self._calls, [None] * self._calls) for loop in self._loops
        ]

    def begin_forward(self, start: int, stop: int) -> None:
        """Mark the calls of the forward that follows; they have indices ``start … stop - 1``."""
        codes = self._codes[start:stop]
        codes[0] |= _code(start, _ENTRY | _FIRST)
        codes[-1] |= _code(stop - 1, _GRADIENT | _LAST)
        for marks in self.marks:
            marks.firsts.append(start)
            marks.lasts.append(stop - 1)
            self._attached.append(_Attached(marks, codes, self._read))

    def end_forward(self) -> None:
        """Stop marking; a module called again during the backward (checkpointing) is left alone.

        The hooks of the backward are registered here and not at each call: there they would lie
        inside the timesteps, and one after another they cost less (torch's hook code is then in
        the processor's caches).
        """
        while self._attached:
            self._attached.pop().finish()


def _code(i: int, bits: int) -> int:
    return i << _INDEX_SHIFT | bits if bits else 0


class _Attached:
    """One module, marking, during one forward.

    It replaces the module's ``forward`` by an instance attribute, which costs a tenth of module
    hooks: those make every call of the module take torch's slow path.
    """

    def __init__(self, marks: LoopMarks, codes: list[int], read: Read) -> None:
        self._marks = marks
        self._read = read
        self._module = marks.loop.module
        self._previous = self._module.__dict__.get("forward")
        self._original = self._module.forward
        self._left = iter(codes)
        self._outputs: list[tuple[int, Any]] = []
        self._first_output: tuple[int, Any, int] | None = None
        object.__setattr__(self._module, "forward", self._marking_forward())

    def _marking_forward(self) -> Callable[..., Any]:
        original, read, entries = self._original, self._read, self._marks.entries
        keep, edge = self._outputs.append, self._edge_call
        next_code = chain(self._left, repeat(_BEYOND)).__next__

        def forward(*args: Any, **kwargs: Any) -> Any:
            code = next_code()
            if not code:  # most calls, most of the time: nothing may be added before this line
                return original(*args, **kwargs)
            if code & _EDGE:
                return edge(code, args, kwargs)
            i = code >> _INDEX_SHIFT
            if code & _ENTRY:
                entries[i] = read()
            output = original(*args, **kwargs)
            if code & _GRADIENT:
                keep((i, output))
            return output

        return forward

    def _edge_call(self, code: int, args: Any, kwargs: Any) -> Any:
        """The first or last call of a loop, which bounds the loop itself, or one too many."""
        marks, i = self._marks, code >> _INDEX_SHIFT
        if code & _BEYOND:
            marks.calls_beyond += 1
            return self._original(*args, **kwargs)
        before = _sequence_number()
        if code & _ENTRY:
            marks.entries[i] = self._read()
        output = self._original(*args, **kwargs)
        if code & _LAST:
            marks.exits[i] = self._read()
        if code & _GRADIENT:
            self._outputs.append((i, output))
        if code & _FIRST:
            self._first_output = (i, output, before)
        return output

    def finish(self) -> None:
        """Give the module its ``forward`` back and register the hooks that mark the backward."""
        if self._previous is None:
            del self._module.__dict__["forward"]
        else:
            object.__setattr__(self._module, "forward", self._previous)
        self._marks.calls_missing += sum(1 for _ in self._left)
        for i, output in self._outputs:
            self._mark_gradient(i, output)
        if self._first_output is not None:
            self._mark_end(*self._first_output)

    def _mark_gradient(self, i: int, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None or tensor.grad_fn is None:
            return
        gradients, read = self._marks.gradients, self._read

        def complete(_gradients: Any) -> None:
            gradients[i] = read()

        tensor.grad_fn.register_prehook(complete)

    def _mark_end(self, i: int, output: Any, before: int) -> None:
        tensor = first_tensor(output)
        if tensor is None:
            return
        ends, read = self._marks.ends, self._read

        def ran(_inputs: Any, _outputs: Any) -> None:
            ends[i] = read()  # the last of the nodes to run leaves the stamp that stays

        for node in last_nodes(tensor, before):
            node.register_hook(ran)
