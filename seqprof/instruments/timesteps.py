"""Marks at the timesteps of a recurrence, forward and in BPTT.

::

    forward    E0 [call 0] E1 [call 1] E2 …  E(T-1) [call T-1] X
               |-- t=0 ----|-- t=1 ----|     |----- t=T-1 -----|
    backward   G(T-1) … G1 (backward of call 1) G0 (backward of call 0) F
                        |-------- t=1 ---------|--------- t=0 ---------|

``E`` is taken at the entry of a call of the timestep module and ``X`` when the last one returns.
``G`` is taken when the gradient of a call's output is complete: by a hook of the output, which
runs once all gradients of it have been summed. ``F`` is taken when the last node that call 0 made
has run; what follows (embedding, gradient accumulation of what came before the loop) belongs to the
phase. Where a timestep is several calls, ``E`` is taken at its first and ``G`` at its last.

A stamp is whatever ``read()`` returns: host nanoseconds, a pair of nanoseconds and an event, or a
number of operations. Only marked calls pay for a mark; the others pay for one Python call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from seqprof.instruments.gradient_nodes import LastNode, first_tensor, sequence_number
from seqprof.instruments.loops import TimestepLoop, replace_forward

#: What to do at a call, as bits.
_ENTRY, _GRADIENT, _FIRST, _LAST, _BEYOND = 1, 2, 4, 8, 16
_EDGE = _FIRST | _LAST | _BEYOND

Read = Callable[[], Any]


@dataclass(slots=True)
class SegmentMarks:
    """The stamps of one loop in one forward.

    Attributes:
        start: timesteps of the step before this forward.
        timesteps: that this forward covers.
        entries: ``[positions]``, None where not marked; see :meth:`Loop.positions`.
        gradients: likewise.
        exit: when the last call returned.
        end: when the backward of the first position was done.
        whole: whether the module was called as often as it was to be.
    """

    start: int
    timesteps: int
    entries: list[Any]
    gradients: list[Any]
    exit: Any = None
    end: Any = None
    whole: bool = True

    @property
    def positions(self) -> int:
        """How many spans there are."""
        return len(self.entries)

    def forward_span(self, position: int) -> tuple[Any, Any]:
        """Stamps around a position of the forward; ``None`` where not marked."""
        last = position + 1 == self.positions
        return self.entries[position], self.exit if last else self.entries[position + 1]

    def backward_span(self, position: int) -> tuple[Any, Any]:
        """Stamps around the backward of a position; ``None`` where not marked."""
        before = self.gradients[position - 1] if position else self.end
        return self.gradients[position], before

    def forward_whole(self) -> tuple[Any, Any]:
        """Stamps around the whole loop of the forward."""
        return self.entries[0], self.exit

    def backward_whole(self) -> tuple[Any, Any]:
        """Stamps around the whole loop of the backward."""
        return self.gradients[-1], self.end


@dataclass(slots=True)
class LoopMarks:
    """The stamps of one loop in one step, forward by forward.

    With micro-batches, or chunks of truncated BPTT, a step has several.
    """

    loop: TimestepLoop
    segments: list[SegmentMarks] = field(default_factory=list)
    calls_missing: int = 0
    calls_beyond: int = 0


class TimestepProbe:
    """Takes the marks of all loops of a model in one step at a time.

    Args:
        loops: the timestep modules; those of one module are its passes over the sequence.
        read: gives a stamp.
    """

    def __init__(self, loops: Sequence[TimestepLoop], read: Read) -> None:
        self._read = read
        self._modules: dict[int, list[TimestepLoop]] = {}
        for loop in loops:
            self._modules.setdefault(id(loop.module), []).append(loop)
        #: Of each pass over each module, where the backward of its first call ends.
        self._last_nodes = {
            key: [LastNode() for _ in loops] for key, loops in self._modules.items()
        }
        self._loops = loops
        self._stride, self._offset = 1, 0
        self._patterns: dict[int, list[int]] = {}
        self._running: list[_Attached] = []
        self._done: list[_Attached] = []
        #: Loops whose gradients are not complete in the reverse order of their calls.
        self._disordered: set[str] = set()

    def begin_step(self, stride: int = 1, offset: int = 0, longest: int = 0) -> None:
        """Start a step in which every ``stride``-th position is marked, from ``offset`` on.

        A span needs the mark that ends it too: that of the next position in the forward, of the
        previous one in the backward.

        Args:
            stride: 1 marks all.
            offset: modulo ``stride``.
            longest: positions that a forward may have; what is prepared here is not in the step.
        """
        self._stride, self._offset = stride, offset % stride
        self._done.clear()
        for width in {loop.calls_per_position for loop in self._loops}:
            self._patterns[width] = self._pattern(width, longest)

    def _pattern(self, width: int, longest: int) -> list[int]:
        """What to do at each of ``width`` calls of each position."""
        stride, offset = self._stride, self._offset
        codes: list[int] = []
        for position in range(longest):
            phase = (position - offset) % stride
            entry = _ENTRY if phase <= 1 else 0
            gradient = _GRADIENT if phase in (0, stride - 1) else 0
            if stride == 1:
                entry, gradient = _ENTRY, _GRADIENT
            if width == 1:
                codes.append(entry | gradient)
            else:
                codes += [entry, *[0] * (width - 2), gradient]
        return codes

    def begin_forward(self, start: int, stop: int) -> None:
        """Mark the calls of the forward that follows, over timesteps ``start … stop - 1``."""
        timesteps = stop - start
        for key, loops in self._modules.items():
            codes: list[int] = []
            segments = []
            for loop in loops:
                positions = loop.positions(timesteps)
                codes += self._codes(loop, positions)
                segment = SegmentMarks(start, timesteps, [None] * positions, [None] * positions)
                segments.append((loop, segment))
            attached = _Attached(
                segments, codes, self._read, self._disordered, self._last_nodes[key]
            )
            self._running.append(attached)
            self._done.append(attached)

    def _codes(self, loop: TimestepLoop, positions: int) -> list[int]:
        width = loop.calls_per_position
        pattern = self._patterns.get(width, [])
        if len(pattern) < positions * width:  # longer than any forward before
            pattern = self._patterns[width] = self._pattern(width, positions)
        codes = pattern[: positions * width]
        if codes:
            codes[0] |= _ENTRY | _FIRST
            codes[-1] |= _GRADIENT | _LAST
        return codes

    def end_forward(self) -> None:
        """Stop marking; a module called again during the backward (checkpointing) is left alone.

        The hooks of the backward are registered here and not at each call: there they would lie
        inside the timesteps, and one after another they cost less (torch's hook code is then in
        the processor's caches).
        """
        while self._running:
            self._running.pop().finish()

    @property
    def marks(self) -> list[LoopMarks]:
        """The stamps of the step that has just ended; loop by loop."""
        marks = {id(loop): LoopMarks(loop) for loop in self._loops}
        for attached in self._done:
            for loop, segment in attached.collect():
                marks[id(loop)].segments.append(segment)
            first = marks[id(attached.loops[0])]
            first.calls_missing += attached.missing
            first.calls_beyond += attached.beyond
        self._done.clear()
        return list(marks.values())


class _Attached:
    """One module, marking, during one forward.

    It replaces the module's ``forward`` by an instance attribute, which costs a tenth of module
    hooks: those make every call of the module take torch's slow path. Stamps are kept in the order
    in which they come; which call each is of is found afterwards, outside the step.
    """

    def __init__(
        self,
        segments: list[tuple[TimestepLoop, SegmentMarks]],
        codes: list[int],
        read: Read,
        disordered: set[str],
        last_nodes: Sequence[LastNode],
    ) -> None:
        self._segments, self._codes, self._read = segments, codes, read
        self._last_nodes = last_nodes
        self.loops = [loop for loop, _ in segments]
        self._disordered = disordered
        self._module = segments[0][0].module
        self._original = self._module.forward
        self._left = iter(codes)
        self._entries: list[Any] = []
        self._exits: list[Any] = []
        self._outputs: list[Any] = []
        self._firsts: list[tuple[Any, int]] = []
        self._gradients: list[Any] = []
        self._by_call: dict[int, Any] = {}
        self._ends: dict[int, Any] = {}
        self._hooked: list[int] = []
        self.missing = self.beyond = 0
        self._give_back = replace_forward(self._module, self._marking_forward())

    def _marking_forward(self) -> Callable[..., Any]:
        original, read, entered = self._original, self._read, self._entries.append
        keep, edge = self._outputs.append, self._edge_call
        next_code = chain(self._left, repeat(_BEYOND)).__next__

        def forward(*args: Any, **kwargs: Any) -> Any:
            code = next_code()
            if not code:  # most calls, most of the time: nothing may be added before this line
                return original(*args, **kwargs)
            if code & _EDGE:
                return edge(code, args, kwargs)
            if code & _ENTRY:
                entered(read())
            output = original(*args, **kwargs)
            if code & _GRADIENT:
                keep(output)
            return output

        return forward

    def _edge_call(self, code: int, args: Any, kwargs: Any) -> Any:
        """The first or last call of a loop, which bounds the loop itself, or one too many."""
        if code & _BEYOND:
            self.beyond += 1
            return self._original(*args, **kwargs)
        before = sequence_number()
        if code & _ENTRY:
            self._entries.append(self._read())
        output = self._original(*args, **kwargs)
        if code & _LAST:
            self._exits.append(self._read())
        if code & _GRADIENT:
            self._outputs.append(output)
        if code & _FIRST:
            self._firsts.append((output, before))
        return output

    def finish(self) -> None:
        """Give the module its ``forward`` back and register the hooks that mark the backward."""
        self._give_back()
        self.missing = sum(1 for _ in self._left)
        # Several passes over one module are in no order that would be known beforehand.
        if len(self.loops) > 1 or self.loops[0].path in self._disordered:
            self._mark_by_call()
        else:
            self._mark_in_order()
        for number, (output, before) in enumerate(self._firsts):
            tensor = first_tensor(output)
            if tensor is not None:
                self._mark_end(number, self._last_nodes[number].of(tensor, before))
        self._outputs.clear()
        self._firsts.clear()

    def _mark_in_order(self) -> None:
        """One hook for all: in BPTT the gradient of a later output is complete earlier."""
        read, stamped = self._read, self._gradients.append

        def complete(_gradient: Any) -> None:
            stamped(read())

        hooks = {0: complete}
        for call, output in enumerate(self._outputs):
            tensor = output if isinstance(output, Tensor) else first_tensor(output)
            if tensor is None or (node := tensor.grad_fn) is None:
                continue
            self._hooked.append(call)
            if tensor._backward_hooks is None:
                # What Tensor.register_hook does, but for a handle for each, which nobody needs.
                tensor._backward_hooks = hooks  # type: ignore[assignment]
                node._register_hook_dict(tensor)
            else:
                tensor.register_hook(complete)  # type: ignore[no-untyped-call]

    def _mark_by_call(self) -> None:
        read, stamps = self._read, self._by_call
        for call, output in enumerate(self._outputs):
            tensor = first_tensor(output)
            if tensor is None or tensor.grad_fn is None:
                continue

            def complete(_gradient: Any, call: int = call) -> None:
                stamps[call] = read()

            self._hooked.append(call)
            tensor.register_hook(complete)  # type: ignore[no-untyped-call]

    def _mark_end(self, number: int, node: Node) -> None:
        ends, read = self._ends, self._read

        def ran(_inputs: Any, _outputs: Any) -> None:
            ends[number] = read()

        node.register_hook(ran)

    # After the step ------------------------------------------------------------------------

    def collect(self) -> Iterator[tuple[TimestepLoop, SegmentMarks]]:
        """Yield the segments with their stamps; one whose calls did not come is not whole."""
        gradients = self._gradients_by_mark()
        whole = not (self.missing or self.beyond)
        entries = iter(self._entries)
        marks, begin = 0, 0
        for number, (loop, segment) in enumerate(self._segments):
            width = loop.calls_per_position
            codes = self._codes[begin : begin + segment.positions * width]
            begin += len(codes)
            segment.whole = whole
            for position in range(segment.positions if whole else 0):
                own = codes[position * width : (position + 1) * width]
                if own[0] & _ENTRY:
                    segment.entries[position] = next(entries, None)
                if own[-1] & _GRADIENT:
                    segment.gradients[position] = gradients.get(marks)
                    marks += 1
            if whole:
                segment.exit = self._exits[number] if number < len(self._exits) else None
                segment.end = self._ends.get(number)
            yield loop, segment

    def _gradients_by_mark(self) -> dict[int, Any]:
        """The stamps of the backward by the number of the marked output."""
        if self._by_call or not self._gradients:
            return self._by_call
        if len(self._gradients) == len(self._hooked):
            return dict(zip(reversed(self._hooked), self._gradients, strict=True))
        # An output that nothing is made of gets no gradient: from now on each has its own hook.
        self._disordered.add(self.loops[0].path)
        return {}
