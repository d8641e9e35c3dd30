"""What one span says of updates: steps of optimizers, refusals, forwards without gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import LoopSpan


def steps_in(span: LoopSpan) -> int:
    """Optimizer steps in a span; one optimizer that wraps another steps once."""
    if span.kind == Kind.OPTIMIZER_IN:
        return int(span.end is not None and not span.left & Flag.FAILED)
    return sum(steps_in(child) for child in span.children)


def is_refused(span: LoopSpan) -> bool:
    """Whether a span is a GradScaler's step that stepped no optimizer."""
    is_step = span.kind == Kind.SCALER_IN and not span.given & (Flag.UPDATE | Flag.UNSCALE)
    return is_step and span.end is not None and not span.holds(Kind.OPTIMIZER_IN)


def is_quiet(span: LoopSpan) -> bool:
    """Whether a span is a forward without gradients."""
    return span.kind == Kind.FORWARD_IN and not span.given & Flag.GRAD


def leads_to_no_backward(outermost: Sequence[LoopSpan]) -> Iterator[LoopSpan]:
    """Forwards in evaluation mode whose gradients nobody takes: validation without ``no_grad``.

    No backward comes before the same root is called in training mode again, or at all.
    """
    waiting: list[LoopSpan] = []
    trained: set[int] = set()
    for span in outermost:
        if span.kind == Kind.FORWARD_IN and span.given & Flag.GRAD:
            if not span.given & Flag.TRAINING:
                waiting.append(span)
                continue
            trained.add(span.key)
            yield from (one for one in waiting if one.key == span.key)
            waiting = [one for one in waiting if one.key != span.key]
        elif span.kind == Kind.BACKWARD_IN or span.holds(Kind.BACKWARD_IN):
            waiting = []
    yield from (one for one in waiting if one.key in trained)


def passes(keys: Sequence[int]) -> int:
    """How often several roots were called that take turns: encoder, decoder, encoder, …: twice."""
    counts = Counter(keys)
    return sum(max(counts[key] for key in group) for group in taking_turns(keys))


def steps_inside(span: LoopSpan) -> bool:
    """Whether an optimizer is stepped inside of a backward."""
    return span.kind == Kind.BACKWARD_IN and span.holds(Kind.OPTIMIZER_IN)


def backwards(spans: Sequence[LoopSpan], *, in_forward: bool) -> int:
    """How many backwards there are at any depth, those inside of forwards or only the others."""
    number = 0
    for span in spans:
        number += span.kind == Kind.BACKWARD_IN
        if in_forward or span.kind != Kind.FORWARD_IN:
            number += backwards(span.children, in_forward=in_forward)
    return number


def update_sort(outermost: list[LoopSpan]) -> Literal["optimizer", "backward", "forward"]:
    """What an update is in this loop."""
    walked = {span.kind for top in outermost for span in top.walk()}
    if Kind.OPTIMIZER_IN in walked or Kind.SCALER_IN in walked:
        return "optimizer"
    return "backward" if Kind.BACKWARD_IN in walked else "forward"


def optimizer_of(span: LoopSpan) -> int:
    """Key of the optimizer that a span steps, or that a scaler refused to step."""
    if span.key:
        return span.key
    return next((s.key for s in span.walk() if s.kind == Kind.OPTIMIZER_IN), 0)


def taking_turns(keys: Sequence[int]) -> list[list[int]]:
    """Group optimizers that are stepped in turn, each group in the order of their first steps.

    One that is done before another's first step (a fold, a model before the next) is of its own.
    """
    groups: list[list[int]] = []
    until = -1
    last = {key: index for index, key in enumerate(keys)}
    for key in dict.fromkeys(keys):
        if keys.index(key) > until:
            groups.append([])
        groups[-1].append(key)
        until = max(until, last[key])
    return groups
