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
from time import perf_counter_ns
from typing import Any

import torch

from seqprof.attach.exploring.discovery import DiscoveredLoop
from seqprof.instruments.gradient_nodes import first_tensor, last_nodes

#: Number of the loop, calls, stride, offset, exit mark, end of the first call's backward.
HEAD = struct.Struct("<6q")


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
        self._last = loop.timesteps * loop.per_timestep - 1
        self._attached = False
        self._clear(1, 0)

    def _clear(self, stride: int, offset: int) -> None:
        self._stride, self._offset = stride, offset
        self._entries: list[int] = []
        self._outputs: list[tuple[int, Any]] = []
        self._gradients: list[int] = []
        self._exit = self._end = 0
        self._first: tuple[Any, int] | None = None

    def begin(self, stride: int, offset: int) -> None:
        """A group begins in which every ``stride``-th call is marked, from ``offset`` on."""
        self._clear(stride, offset)

    def attach(self) -> None:
        """Mark the calls from here on; a call of a root begins."""
        module = self._living()
        if module is None:
            return
        self._previous = module.__dict__.get("forward")
        object.__setattr__(module, "forward", self._marking(module.forward))
        self._attached = True

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

    def _marking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        entries, outputs = self._entries, self._outputs
        stride, offset, last, clock = self._stride, self._offset, self._last, self._clock

        def forward(*args: Any, **kwargs: Any) -> Any:
            i = len(entries)
            phase = (i - offset) % stride
            # Span i of the forward needs the entries i and i + 1, that of the backward the
            # gradients i and i - 1.
            if i and i != last and 1 < phase < stride - 1:
                entries.append(0)
                return original(*args, **kwargs)
            before = 0 if i else int(torch._C._autograd._get_sequence_nr())
            entries.append(clock() if phase < 2 or not i else 0)
            output = original(*args, **kwargs)
            if i == last:
                self._exit = clock()
            if phase == 0 or phase == stride - 1 or i == last or not i:
                outputs.append((i, output))
            if not i:
                self._first = (output, before)
            return output

        return forward

    def register(self) -> None:
        """The backward begins: mark where the gradients of the marked calls are complete."""
        self._gradients = [0] * len(self._entries)
        for i, output in self._outputs:
            self._mark_gradient(i, output)
        if self._first is not None:
            self._mark_end(*self._first)
        self._outputs, self._first = [], None

    def _mark_gradient(self, i: int, output: Any) -> None:
        tensor = first_tensor(output)
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
            self._end = self._clock()  # the last of the nodes to run leaves the mark that stays

        for node in last_nodes(tensor, before):
            node.register_hook(ran)

    def block(self) -> bytes | None:
        """What was marked, packed; None where the loop was not called."""
        if not self._entries:
            return None
        head = HEAD.pack(
            self._number, len(self._entries), self._stride, self._offset, self._exit, self._end
        )
        gradients = self._gradients or [0] * len(self._entries)  # none in a forward alone
        self._outputs, self._first = [], None
        return head + array("q", self._entries).tobytes() + array("q", gradients).tobytes()


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

    def attach(self) -> None:
        """A root is called with gradients."""
        for loop in self._loops:
            if not self._open:
                loop.begin(self._stride, self._offset)
            loop.attach()
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
            blocks = [block for loop in self._loops if (block := loop.block())]
            if blocks:
                self._write(b"".join(blocks))
            self._ended()
