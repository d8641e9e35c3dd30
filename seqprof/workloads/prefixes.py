"""Which first parts of its sequences a model takes alone.

Many take any length, some only multiples of a few timesteps (a decoder that makes several frames a
call, a pyramid that halves the sequence layer by layer), some only the one that they were made for.
Nothing but a try tells.
"""

from __future__ import annotations

from collections.abc import Callable

from seqprof.errors import first_line

#: Lengths that are tried in place of one that the model does not take.
_MOST_TRIED = 8


class Prefixes:
    """Tries lengths, each once.

    Args:
        try_length: runs the model over so many first timesteps; raises what the model raises.
        timesteps: T of the sequences.
        why: what may fix T in such a model, as a part of a sentence.
    """

    def __init__(
        self, try_length: Callable[[int], object], timesteps: int, why: str | None = None
    ) -> None:
        self._why = why
        self._try_length, self._timesteps = try_length, timesteps
        #: What each length that was tried failed with; None where it did not.
        self._tried: dict[int, str | None] = {}
        #: Of what the lengths are multiples that were taken in place of another.
        self.multiples_of = 1

    @property
    def possible(self) -> bool:
        """Whether the model takes a first part of its sequences at all."""
        return self.nearest(self._timesteps // 4) is not None

    @property
    def reason(self) -> str | None:
        """Why it takes none; None where it takes some."""
        if self._timesteps < 2:
            return "the sequences have one timestep"
        if self.possible:
            return None
        first, said = next(iter(self._tried.items()))
        others = [str(length) for length in self._tried if length != first]
        also = f" (nor at {', '.join(others)})" if others else ""
        why = f"; {self._why}" if self._why else ""
        return f"the model takes no shorter sequences: {said} at T = {first}{also}{why}"

    def nearest(self, wanted: int) -> int | None:
        """Return a length near ``wanted`` that the model takes, below T; None where it takes none.

        Where it does not take ``wanted`` itself, multiples of what divides T are tried. One from T
        on, as a part of longer sequences, is taken at its word.
        """
        if wanted >= self._timesteps > 1:
            return wanted
        if self._timesteps < 2:
            return None
        divisors = [d for d in range(1, self._timesteps) if self._timesteps % d == 0]
        tried = set[int]()
        for of in (self.multiples_of, *divisors):
            length = self._multiple(of, wanted)
            if self._takes(length):
                self.multiples_of = max(self.multiples_of, of)
                return length
            tried.add(length)
            if len(tried) == _MOST_TRIED:
                break
        return None

    def _multiple(self, of: int, wanted: int) -> int:
        """The multiple nearest to ``wanted`` that is less than T."""
        return min(max(round(wanted / of), 1) * of, (self._timesteps - 1) // of * of)

    def _takes(self, length: int) -> bool:
        if length not in self._tried:
            try:
                self._try_length(length)
                self._tried[length] = None
            except Exception as error:
                self._tried[length] = first_line(error)
        return self._tried[length] is None
