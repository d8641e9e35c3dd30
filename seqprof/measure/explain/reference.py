"""A large matrix product between the rounds: what this device reaches, at the load it has then."""

from __future__ import annotations

from collections.abc import Callable

import torch

from seqprof.analysis.explain.facts import Reachable
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.measure.faults import reason_of

#: Sides of the matrices: large enough that launches and caches do not count. On an accelerator the
#: side is doubled while a product takes less than this: one that takes seconds eats the budget.
SIDE, LARGEST_SIDE, _LONG_ENOUGH_S = 1024, 8192, 0.01
#: Products that are not timed, and the least time from one that is to the next.
_WARMUP, _APART_S = 3, 0.5
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Reference:
    """Multiplies two square matrices in the precision that the candidates train in.

    Args:
        now_s: the clock of the rounds.
    """

    def __init__(self, device: torch.device, precision: str, now_s: Callable[[], float]) -> None:
        self._device, self._precision, self._now_s = device, precision, now_s
        self._side = SIDE
        self._seconds: list[float] = []
        self._at_s: list[float] = []
        self._reason: str | None = "not reached"
        self._matrix: torch.Tensor | None = None

    def start(self) -> None:
        """Make the matrices and warm up; what cannot be done is the reason in the result."""
        try:
            self._matrix = self._random(SIDE)
            for _ in range(_WARMUP):
                seconds = self._time(self._matrix)
        except RuntimeError as error:
            self._fail(error)
            return
        self._reason = None
        if self._device.type != "cpu":
            self._grow(seconds)

    def _random(self, side: int) -> torch.Tensor:
        kind = _TYPES.get(self._precision, torch.float32)
        return torch.randn(side, side, device=self._device, dtype=kind)

    def _time(self, matrix: torch.Tensor) -> float:
        """Seconds of one product."""
        synchronize(self._device)
        start = host_clock_ns()
        torch.mm(matrix, matrix)
        synchronize(self._device)
        return (host_clock_ns() - start) * NS

    def _grow(self, seconds: float) -> None:
        """Take larger matrices while they are quick; the last that had room stay."""
        while seconds < _LONG_ENOUGH_S and self._side < LARGEST_SIDE:
            try:
                larger = self._random(2 * self._side)
                self._time(larger)  # the first of a size picks its kernel
                seconds = self._time(larger)
            except RuntimeError:  # mostly no memory; what stays broken is met by the next product
                return
            self._matrix, self._side = larger, 2 * self._side

    def take(self) -> None:
        """Time one product, unless the last was a moment ago."""
        if self._matrix is None or (self._at_s and self._now_s() - self._at_s[-1] < _APART_S):
            return
        try:
            seconds = self._time(self._matrix)
        except RuntimeError as error:
            self._fail(error)
            return
        self._seconds.append(seconds)
        self._at_s.append(self._now_s())

    def _fail(self, error: RuntimeError) -> None:
        self._matrix, self._reason = None, reason_of(error)

    def reachable(self) -> Reachable:
        """Return what was timed."""
        return Reachable(
            size=self._side,
            precision=self._precision,
            seconds=tuple(self._seconds),
            at_s=tuple(self._at_s),
            reason=None if self._seconds else self._reason or "no round was measured",
        )
