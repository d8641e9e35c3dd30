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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from seqprof.instruments.loops import Loop

#: What to do at a call, as bits.
_ENTRY, _GRADIENT, _FIRST, _LAST, _BEYOND = 1, 2, 4, 8, 16
_EDGE = _FIRST | _LAST | _BEYOND

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
    return int(torch.autograd._get_sequence_nr())


def nodes_since(tensor: Tensor, sequence_number: int) -> Iterator[Node]:
    """Yield the autograd nodes behind ``tensor`` made since then, leaves' accumulators excluded."""
    pending = [tensor.grad_fn]
    seen: set[Node] = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen or hasattr(node, "variable"):
            continue
        if node._sequence_nr() < sequence_number:
            continue
        seen.add(node)
        yield node
        pending.extend(parent for parent, _ in node.next_functions)


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
        return [(self.entries[a], self.exits.get(b)) for a, b in zip(self.firsts, self.lasts)]

    def backward_segments(self) -> list[tuple[Any, Any]]:
        """Stamps around each whole loop of the backward."""
        return [(self.gradients[b], self.ends.get(a)) for a, b in zip(self.firsts, self.lasts)]


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
        self._plan: tuple[bytes, bytes] = (bytes(calls), bytes(calls))
        self._restore: list[Callable[[], None]] = []
        self._outputs: list[tuple[LoopMarks, int, Tensor]] = []
        self._first_outputs: list[tuple[LoopMarks, int, Tensor, int]] = []
        self.marks: list[LoopMarks] = []

    def begin_step(self, forward: Sequence[bool], backward: Sequence[bool]) -> None:
        """Start a step in which the calls chosen by the two masks (length ``calls``) are marked.

        A span needs the mark that ends it too: that of the next call in the forward, of the
        previous call in the backward.
        """
        entry = bytes(f or (i > 0 and forward[i - 1]) for i, f in enumerate(forward))
        gradient = bytes(
            b or (i + 1 < len(backward) and backward[i + 1]) for i, b in enumerate(backward)
        )
        self._plan = (entry, gradient)
        self.marks = [
            LoopMarks(loop, [None] * self._calls, [None] * self._calls) for loop in self._loops
        ]

    def begin_forward(self, start: int, stop: int) -> None:
        """Mark the calls of the forward that follows; they have indices ``start … stop - 1``."""
        for marks in self.marks:
            marks.firsts.append(start)
            marks.lasts.append(stop - 1)
            codes = [
                entry * _ENTRY | gradient * _GRADIENT
                for entry, gradient in zip(self._plan[0][start:stop], self._plan[1][start:stop])
            ]
            codes[0] |= _ENTRY | _FIRST
            codes[-1] |= _GRADIENT | _LAST
            codes.append(_BEYOND)
            self._restore.append(self._attach(marks, start, codes))

    def end_forward(self) -> None:
        """Stop marking; a module called again during the backward (checkpointing) is left alone.

        The hooks of the backward are registered here and not at each call: there they would lie
        inside the timesteps, and one after another they cost a fifth (torch's hook code is then
        in the processor's caches).
        """
        while self._restore:
            self._restore.pop()()
        for marks, i, output in self._outputs:
            self._mark_gradient(marks, i, output)
        for marks, i, output, before in self._first_outputs:
            self._mark_end(marks, i, output, before)
        self._outputs.clear()
        self._first_outputs.clear()

    def _attach(self, marks: LoopMarks, start: int, codes: list[int]) -> Callable[[], None]:
        """Replace the module's ``forward`` by one that marks; returns what undoes it.

        An instance attribute costs a tenth of what module hooks cost, which make every call of
        the module take torch's slow path.
        """
        module = marks.loop.module
        original = module.forward
        read, entries = self._read, marks.entries
        call = 0

        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal call
            code = codes[call]
            if not code:
                call += 1
                return original(*args, **kwargs)
            if code & _BEYOND:
                marks.calls_beyond += 1
                return original(*args, **kwargs)
            i = start + call
            call += 1
            if code & _EDGE:
                return self._edge_call(marks, i, code, original, args, kwargs)
            if code & _ENTRY:
                entries[i] = read()
            output = original(*args, **kwargs)
            if code & _GRADIENT:
                self._keep(marks, i, output)
            return output

        previous = module.__dict__.get("forward")
        object.__setattr__(module, "forward", forward)

        def restore() -> None:
            marks.calls_missing += len(codes) - 1 - call
            _set_forward(module, previous)

        return restore

    def _edge_call(
        self,
        marks: LoopMarks,
        i: int,
        code: int,
        original: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> Any:
        """The first or last call of a loop, which bounds the loop itself."""
        before = _sequence_number()
        if code & _ENTRY:
            marks.entries[i] = self._read()
        output = original(*args, **kwargs)
        if code & _LAST:
            marks.exits[i] = self._read()
        if code & _GRADIENT:
            self._keep(marks, i, output)
        if code & _FIRST and (tensor := first_tensor(output)) is not None:
            self._first_outputs.append((marks, i, tensor, before))
        return output

    def _keep(self, marks: LoopMarks, i: int, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            self._outputs.append((marks, i, tensor))

    def _mark_gradient(self, marks: LoopMarks, i: int, output: Tensor) -> None:
        gradients, read = marks.gradients, self._read

        def complete(_gradients: Any) -> None:
            gradients[i] = read()

        if output.grad_fn is not None:
            output.grad_fn.register_prehook(complete)

    def _mark_end(self, marks: LoopMarks, i: int, output: Tensor, before: int) -> None:
        ends, read = marks.ends, self._read

        def ran(_inputs: Any, _outputs: Any) -> None:
            ends[i] = read()  # the last node of the call to run leaves the stamp that stays

        for node in nodes_since(output, before):
            node.register_hook(ran)


def _set_forward(module: nn.Module, previous: Any) -> None:
    if previous is None:
        del module.__dict__["forward"]
    else:
        object.__setattr__(module, "forward", previous)
