"""Who is told where the phases and the forwards of a step begin and end."""

from __future__ import annotations

from typing import Protocol

from seqprof.recording import Phase


class PhaseListener(Protocol):
    """Told where the phases begin."""

    def enter(self, phase: Phase) -> None: ...

    def end(self) -> None: ...


class ForwardListener(Protocol):
    """Told before and after each forward, with the timesteps that it covers.

    Timesteps are counted over the step: those of a micro-batch follow those of the one before, so
    the forwards of a step tile 0 … the sum of its micro-batches' T.
    """

    def begin_forward(self, start: int, stop: int) -> None: ...

    def end_forward(self) -> None: ...


class Silence:
    """A listener to whom nothing matters."""

    def enter(self, phase: Phase) -> None:
        pass

    def end(self) -> None:
        pass

    def begin_forward(self, start: int, stop: int) -> None:
        pass

    def end_forward(self) -> None:
        pass


SILENCE = Silence()
