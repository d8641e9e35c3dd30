"""Timestep marks in a loop whose length nobody tells in advance.

::

    forward    E0 [call 0] E1 [call 1] … E(n-1) [call n-1] X
    backward   G(n-1) … G1 G0 F

The marks are those of :mod:`seqprof.instruments.timesteps`, which explains them. Here they are
taken for as many calls as come, over all calls of the roots that lead to one backward; the hooks
of the backward are registered when it begins.
"""

from __future__ import annotations

import struct
import weakref
from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from time import perf_counter_ns
from typing import Any

import torch

from seqprof.attach.exploring.discovery import DiscoveredLoop
from seqprof.instruments.gradient_nodes import (
    LastNode,
    first_tensor,
    sequence_number,
    tensors_of,
)

#: Number of the loop, calls, stride, offset, exit mark, end of the first call's backward.
HEAD = struct.Struct("<6q")


class _Pass:
    """The marks of one pass of a loop over a sequence, and its backward.

    Args:
        number: of the loop.
        last: index of the first call that may be the last; those after it may be, too.
        stride, offset: every ``stride``-th call is marked, from ``offset`` on.
        clock: what is read at a mark, never 0.
        last_node: of the first call's backward.
    """

    __slots__ = (
        "_clock", "_end", "_entries", "_exit", "_final", "_first", "_gradients", "_last",
        "_last_node", "_number", "_offset", "_outputs", "_stride",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        last: int,
        stride: int,
        offset: int,
        clock: Callable[[], int],
        last_node: LastNode,
    ) -> None:
        self._number, self._last, self._last_node = number, last, last_node
        self._stride, self._offset, self._clock = stride, offset, clock
        self._entries: list[int] = []
        self._outputs: dict[int, Any] = {}
        self._final: dict[int, Any] = {}
        self._gradients: list[int] = []
        self._exit = self._end = 0
        self._first: tuple[Any, int] | None = None

    def marking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``original``, marked."""
        entries, outputs = self._entries, self._outputs
        stride, offset, last, clock = self._stride, self._offset, self._last, self._clock

        def forward(*args: Any, **kwargs: Any) -> Any:
            i = len(entries)
            phase = (i - offset) % stride
            # Span i of the forward needs the entries i and i + 1, that of the backward the
            # gradients i and i - 1.
            if 0 < i < last and 1 < phase < stride - 1:
                entries.append(0)
                return original(*args, **kwargs)
            before = 0 if i else sequence_number()
            entries.append(clock() if phase < 2 or not i else 0)
            output = original(*args, **kwargs)
            if i >= last:
                self._exit = clock()
                self._final = {i: output}
            if phase == 0 or phase == stride - 1 or not i:
                outputs[i] = output
            if not i:
                self._first = (output, before)
            return output

        return forward

    def register(self, which: int) -> None:
        """The backward begins: mark where the gradients of the marked calls are complete.

        Args:
            which: of a call's outputs, the gradient of this one.
        """
        self._gradients = [0] * len(self._entries)
        for i, output in (self._outputs | self._final).items():
            self._mark_gradient(i, next(islice(tensors_of(output), which, None), None))
        if self._first is not None:
            self._mark_end(*self._first)
        self._let_go()

    def _let_go(self) -> None:
        """What was marked is not to live longer for us."""
        self._outputs, self._final, self._first = {}, {}, None

    @property
    def without_gradients(self) -> bool:
        """Whether no gradient of a marked call came, though its backward ran."""
        return bool(self._end and self._gradients) and not any(self._gradients)

    def _mark_gradient(self, i: int, tensor: torch.Tensor | None) -> None:
        if tensor is None or tensor.grad_fn is None:
            return
        gradients, clock = self._gradients, self._clock

        def complete(_gradients: Any) -> None:
            gradients[i] = clock()

        tensor.grad_fn.register_prehook(complete)

    def _mark_end(self, output: Any, before: int) -> None:
        tensor = first_tensor(output)
        if tensor is None:
            return

        def ran(_inputs: Any, _outputs: Any) -> None:
            self._end = self._clock()

        self._last_node.of(tensor, before).register_hook(ran)

    def block(self) -> bytes:
        """What was marked, packed; nothing where the loop was not called."""
        if not self._entries:
            return b""
        head = HEAD.pack(
            self._number, len(self._entries), self._stride, self._offset, self._exit, self._end
        )
        gradients = self._gradients or [0] * len(self._entries)  # none in a forward alone
        self._let_go()
        return head + array("q", self._entries).tobytes() + array("q", gradients).tobytes()


class ScriptLoopMarks:
    """Marks the calls of one loop's module from the first forward of a group to its backward.

    Args:
        number: of the loop.
        loop: what is marked.
        clock: what is read at a mark, never 0.
    """

    def __init__(
        self, number: int, loop: DiscoveredLoop, clock: Callable[[], int] = perf_counter_ns
    ) -> None:
        self._number = number
        self._clock = clock
        self._living = weakref.ref(loop.module)  # it must not live longer for us
        self._per_timestep, self._by_root = loop.per_timestep, loop.as_long_as_its_root
        self._anew = loop.passes > 1
        self._attached = False
        self._stride, self._offset, self._which = 1, 0, 0
        self._passes: list[_Pass] = []
        self._last_node = LastNode()

    def begin(self, stride: int, offset: int) -> None:
        """A group begins in which every ``stride``-th call is marked, from ``offset`` on."""
        self._stride, self._offset = stride, offset
        self._passes = []

    def attach(self, timesteps: int) -> None:
        """Mark the calls from here on; a call of a root begins, T of which is 0 if not known."""
        module = self._living()
        if module is None:
            return
        if self._anew or not self._passes:
            last = self._first_last(timesteps)
            self._passes.append(
                _Pass(self._number, last, self._stride, self._offset, self._clock, self._last_node)
            )
        self._previous = module.__dict__.get("forward")
        object.__setattr__(module, "forward", self._passes[-1].marking(module.forward))
        self._attached = True

    def _first_last(self, timesteps: int) -> int:
        """Index of the first call that may be the last: where T is not known, any."""
        return timesteps * self._per_timestep - 1 if timesteps and self._by_root else 0

    def detach(self) -> None:
        """Give the module its ``forward`` back; the root has returned."""
        module = self._living()
        if not self._attached or module is None:
            return
        self._attached = False
        if self._previous is None:
            module.__dict__.pop("forward", None)
        else:
            object.__setattr__(module, "forward", self._previous)

    def register(self) -> None:
        """The backward begins: mark where the gradients of the marked calls are complete."""
        for one in self._passes:
            one.register(self._which)

    def block(self) -> bytes:
        """What was marked, packed: a block for each pass."""
        if any(one.without_gradients for one in self._passes):
            self._which += 1  # (output, state) of an encoder, of which the state alone is used
        return b"".join(one.block() for one in self._passes)


class Marks:
    """The marks of all loops of a script.

    Args:
        write: gets the blocks of a forward and its backward.
        ended: called after each.
    """

    def __init__(
        self,
        loops: Sequence[ScriptLoopMarks],
        write: Callable[[bytes], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._loops = loops
        self._write, self._ended = write, ended
        self._stride, self._offset = 1, 0
        self._open = False

    def __len__(self) -> int:
        return len(self._loops)

    def choose(self, stride: int, offset: int) -> None:
        """Mark every ``stride``-th timestep from ``offset`` on, from the next group on."""
        self._stride, self._offset = stride, offset

    def attach(self, timesteps: int = 0) -> None:
        """A root is called with gradients; 0 where its T is not known."""
        for loop in self._loops:
            if not self._open:
                loop.begin(self._stride, self._offset)
            loop.attach(timesteps)
        self._open = True

    def detach(self) -> None:
        """The root has returned."""
        for loop in self._loops:
            loop.detach()

    def register(self) -> None:
        """A backward begins."""
        if self._open:
            for loop in self._loops:
                loop.register()

    def collect(self) -> None:
        """The backward has ended: keep what was marked."""
        if self._open:
            self._open = False
            blocks = b"".join(loop.block() for loop in self._loops)
            if blocks:
                self._write(blocks)
            self._ended()
