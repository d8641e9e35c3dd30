"""An iteration → the time of each of its phases.

The innermost span says what an instant belongs to. What no span covers is told by its neighbours:
after the last forward and before the backward it is the loss, before the first forward the data …
Every nanosecond of an iteration that is not evaluation lands in exactly one phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import Instant, LoopSpan

Label = Literal[
    "data", "rollout", "forward", "loss", "backward", "optimizer", "other", "evaluation"
]

#: What Python spends at most, after a backward that has emptied the caches, on coming back from it
#: and asking a loader for the next batch. A script that does anything in between takes longer.
LOOP_NS = 40_000

_OF_SPAN: dict[Kind, Label] = {
    Kind.FETCH_IN: "data",
    Kind.FORWARD_IN: "forward",
    Kind.JOIN_IN: "forward",
    Kind.CRITERION_IN: "loss",
    Kind.BACKWARD_IN: "backward",
    Kind.OPTIMIZER_IN: "optimizer",
    Kind.SCALER_IN: "optimizer",
    Kind.ZERO_GRAD_IN: "other",
    Kind.SYNCHRONIZE_IN: "other",
}


class Segment(NamedTuple):
    """A stretch of one iteration that belongs to one phase."""

    label: Label
    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Time of one phase in one iteration; None where a clock was not read."""

    wall_ns: int
    cpu_ns: int | None
    device_ns: int | None = None


def phase_times(iteration: Iteration, *, by_fetch: bool) -> dict[str, PhaseTime]:
    """Add up the segments of each phase; evaluation is left out."""
    walls: dict[str, int] = {}
    cpus: dict[str, int | None] = {}
    devices: dict[str, int | None] = {}
    for label, start, end in segments(iteration, by_fetch=by_fetch):
        walls[label] = walls.get(label, 0) + end.at_ns - start.at_ns
        known = cpus.get(label, 0)
        both = start.cpu_ns and end.cpu_ns
        cpus[label] = known + end.cpu_ns - start.cpu_ns if both and known is not None else None
        on_device = devices.get(label, 0)
        passed = (
            end.device_ns - start.device_ns
            if start.device_ns is not None and end.device_ns is not None
            else None
        )
        devices[label] = None if on_device is None or passed is None else on_device + passed
    walls.pop("evaluation", None)
    return {label: PhaseTime(wall, cpus[label], devices[label]) for label, wall in walls.items()}


def segments(iteration: Iteration, *, by_fetch: bool) -> list[Segment]:
    """Cut an iteration into segments that tile it."""
    painter = _Painter(iteration, by_fetch)
    return list(painter.paint())


class _Painter:
    """Goes through an iteration once, and remembers what came before."""

    def __init__(self, iteration: Iteration, by_fetch: bool) -> None:
        self._iteration = iteration
        self._before_forward: Label = "other" if by_fetch else "data"
        self._at = iteration.start
        self._last: Label | None = None
        self._pending = False  # a forward whose backward has not come
        kinds = {span.kind for span in iteration.all_spans()}
        self._trains = Kind.BACKWARD_IN in kinds
        self._calls_modules = Kind.FORWARD_IN in kinds

    def paint(self) -> Iterator[Segment]:
        yield from self._paint(_with_evaluations(self._iteration), inside=None)
        if self._iteration.end.at_ns > self._at.at_ns:
            yield Segment(self._gap(None, None), self._at, self._iteration.end)

    def _paint(self, pieces: Sequence[_Piece], inside: Label | None) -> Iterator[Segment]:
        for piece in pieces:
            if piece.start.at_ns > self._at.at_ns:
                yield self._to(piece.start, self._gap(piece, inside))
            yield from self._piece(piece)

    def _piece(self, piece: _Piece) -> Iterator[Segment]:
        span = piece.span
        label: Label = piece.label
        if span is not None and span.children and _is_looked_into(span):
            yield from self._look_into(span, label)
        elif piece.end.at_ns > self._at.at_ns:
            yield self._to(piece.end, label)
        self._last = label
        if label == "forward":
            self._pending = self._trains
        elif label == "backward":
            self._pending = False

    def _look_into(self, span: LoopSpan, label: Label) -> Iterator[Segment]:
        """A span with others inside: an optimizer's step with its closure, or what runs in one."""
        closure = label == "optimizer" and (
            span.holds(Kind.FORWARD_IN) or span.holds(Kind.BACKWARD_IN)
        )
        self._last = label
        pieces = [_piece_of(child, self._iteration.end) for child in span.children]
        if closure:
            yield from self._closure(pieces, rounds=_rounds(span))
        else:
            yield from self._paint(pieces, inside=label)
        end = span.end or self._iteration.end
        if end.at_ns > self._at.at_ns:
            yield self._to(end, label)

    def _closure(self, pieces: Sequence[_Piece], rounds: int) -> Iterator[Segment]:
        """Inside a closure the phases are as outside; the optimizer's own work is the remainder.

        An optimizer that calls its closure once does so first of all: what comes before the first
        span then is the closure's own.
        """
        self._last = "other" if rounds == 1 else "optimizer"
        for piece in pieces:
            if piece.start.at_ns > self._at.at_ns:
                gap = self._gap(piece, None)
                own = self._last in ("backward", "optimizer") and not self._pending
                yield self._to(piece.start, "optimizer" if own else gap)
            yield from self._piece(piece)

    def _to(self, point: Instant, label: Label) -> Segment:
        start, self._at = self._at, point
        return Segment(label, start, point)

    def _gap(self, following: _Piece | None, inside: Label | None) -> Label:
        """What an uncovered stretch before ``following`` is."""
        if inside is not None:
            return inside
        coming = following.label if following is not None else None
        if coming == "evaluation" and self._last is None:
            return coming  # between two updates, before what evaluates: no part of a step
        if self._pending:
            return "forward" if coming == "forward" and self._last == "forward" else "loss"
        if self._iteration.rollout and self._last in (None, "rollout"):
            return "rollout"
        if coming == "forward":
            return self._leading()
        if self._last == "data" and coming in ("data", "other", "loss"):
            return "data"
        if self._last == "backward" and coming == "data" and self._is_bare_loop(following):
            return "data"
        if coming == "backward" and self._calls_modules and self._last == "backward":
            return "loss"
        if coming == "other" and self._last is None:
            return self._before_forward
        return "other"

    def _is_bare_loop(self, following: _Piece | None) -> bool:
        """Whether only the loop's own line lies between a micro-batch and the next one's fetch."""
        return following is not None and following.start.at_ns - self._at.at_ns <= LOOP_NS

    def _leading(self) -> Label:
        """Before a forward: from the batch on it is made ready; else see where a step begins."""
        if self._last == "data":
            return "data"
        if self._last in ("optimizer", "evaluation"):
            return "other"
        return self._before_forward


class _Piece(NamedTuple):
    label: Label
    start: Instant
    end: Instant
    span: LoopSpan | None


def _with_evaluations(iteration: Iteration) -> list[_Piece]:
    pieces = [_piece_of(span, iteration.end) for span in iteration.spans]
    if iteration.rollout:
        pieces = [_rolling_out(piece) for piece in pieces]
    pieces += [_Piece("evaluation", start, end, None) for start, end in iteration.evaluations]
    return sorted(pieces, key=lambda piece: piece.start.at_ns)


def _rounds(span: LoopSpan) -> int:
    return sum(inner.kind == Kind.BACKWARD_IN for inner in span.walk())


def _piece_of(span: LoopSpan, end: Instant) -> _Piece:
    return _Piece(_OF_SPAN[span.kind], span.start, span.end or end, span)


def _rolling_out(piece: _Piece) -> _Piece:
    span = piece.span
    quiet = span is not None and span.kind == Kind.FORWARD_IN and not span.given & Flag.GRAD
    return piece._replace(label="rollout") if quiet else piece


def _is_looked_into(span: LoopSpan) -> bool:
    """A loader's own work and a criterion's are theirs, whatever runs in them."""
    return span.kind not in (Kind.FETCH_IN, Kind.CRITERION_IN)
