"""A pass as a sequence of symbols, in which repeats are sought."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import Bools, Ints, Timeline
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass

#: Operators that only name a part of a tensor, or memory: no work of their own.
VIEW = (
    r"^aten::(?:empty\w*|as_strided\w*|view\w*|_unsafe_view|narrow|slice|select|t|transpose|permute"
    r"|expand|expand_as|unsqueeze|squeeze|(?:unsafe_)?(?:chunk|split)\w*|unbind|detach|alias"
    r"|resize_|lift_fresh|numpy_T|swapaxes|movedim)$"
)
#: Kernels that compute a recurrent cell, or its gradient.
CELL_KERNEL = r"(?i)(?:lstm|gru)_cell|elemwise_?rnn|(?:lstm|gru|rnn)_?elem(?:ent)?_?wise"
#: What torch.compile made of a function: its number, and the how manieth of it.
_COMPILED = r"^Torch-Compiled Region: \d+/\d+$"
#: What seeks it: it belongs to the operator behind it.
_LOOKUP = r"^TorchDynamo Cache Lookup$"


class Stream(Struct, frozen=True):
    """Symbols of a pass, and the row of each; operators that do no work may be left out.

    ``rows`` is where each begins: with a lookup that precedes it, if one does.
    """

    symbols: Ints
    rows: Ints
    own_rows: Ints

    @classmethod
    def of(cls, timeline: Timeline, one: Pass) -> Stream:
        """All of a pass."""
        symbols = symbols_of(timeline, one)
        seeks = timeline.named(one.activities.name, _LOOKUP)
        rows = np.flatnonzero(~seeks)
        begins = np.where((rows > 0) & seeks[rows - 1], rows - 1, rows)
        return cls(symbols[rows], begins, rows)

    def part(self, begin: int, end: int) -> Stream:
        return self.at(slice(begin, end))

    def at(self, where: slice | Bools) -> Stream:
        """The symbols that ``where`` chooses."""
        return Stream(self.symbols[where], self.rows[where], self.own_rows[where])

    def in_rows(self, loop: RepeatLoop) -> RepeatLoop:
        """The same loop in rows of the pass."""
        rows = self._edges()
        return RepeatLoop(tuple(int(rows[at]) for at in loop.starts), int(rows[loop.end]))

    def spans(self, loops: list[RepeatLoop]) -> tuple[tuple[int, int], ...]:
        """From and to which row of the pass each of ``loops`` lasts."""
        rows = self._edges()
        return tuple((int(rows[loop.starts[0]]), int(rows[loop.end])) for loop in loops)

    def _edges(self) -> Ints:
        return np.append(self.rows, self.own_rows[-1] + 1)


def symbols_of(timeline: Timeline, one: Pass) -> Ints:
    """The names of a pass; variants of one function or of one cell's kernel are one of them.

    Both differ where what a call is given differs, as the first and the last timestep's state or
    gradient does: torch.compile compiles anew, a kernel is an instance of other arguments.
    """
    symbols = one.activities.name
    for pattern, behind in ((_COMPILED, "/"), (CELL_KERNEL, "<")):
        symbols = _joined(timeline, symbols, pattern, behind)
    return symbols


def _joined(timeline: Timeline, names: Ints, pattern: str, behind: str) -> Ints:
    """One symbol for all names that match ``pattern`` and differ only behind its first mark."""
    matching = timeline.named(names, pattern)
    if not matching.any():
        return names
    symbols, known = names.copy(), dict[str, int]()
    for code in distinct(names[matching]).tolist():
        common = timeline.names[code].partition(behind)[0]
        symbols[names == code] = known.setdefault(common, code)
    return symbols
