"""What a span of a foreign loop is to it: training, an update, a batch to train on, evaluation."""

from __future__ import annotations

from collections import Counter

from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import LoopSpan
from seqprof.analysis.loop.updates import (
    is_quiet,
    leads_to_no_backward,
    optimizer_of,
    steps_inside,
    update_sort,
)

#: "Nearly always": this share of a loop's updates or iterations.
MOSTLY = 0.8


class Roles:
    """The roles of the outermost spans of a log.

    Args:
        outermost: all of them, in their order.

    Attributes:
        sort: what an update is: an optimizer's step, a backward or a forward.
        quiet: identities of the forwards without gradients, or whose gradients nobody takes.
        train_loaders: keys of the loaders whose batches are trained on.
    """

    def __init__(self, outermost: list[LoopSpan]) -> None:
        self._spans = outermost
        self.sort = update_sort(outermost)
        self.quiet = {id(span) for span in outermost if is_quiet(span)}
        self.quiet |= {id(span) for span in leads_to_no_backward(outermost)}
        if self.sort == "forward":
            self.quiet.clear()
        self.train_loaders = self._find_train_loaders()

    def trains(self, span: LoopSpan) -> bool:
        """Whether a span is a forward with gradients, or has a backward."""
        if span.kind == Kind.FORWARD_IN:
            return id(span) not in self.quiet
        return span.kind == Kind.BACKWARD_IN or span.holds(Kind.BACKWARD_IN)

    def is_update(self, span: LoopSpan) -> bool:
        """Whether an update ends with a span."""
        if span.end is None or span.left & Flag.FAILED:
            return False
        if self.sort == "optimizer":
            step = span.kind == Kind.SCALER_IN and not span.given & (Flag.UPDATE | Flag.UNSCALE)
            return step or span.kind == Kind.OPTIMIZER_IN or steps_inside(span)
        if self.sort == "backward":
            return span.kind == Kind.BACKWARD_IN
        return span.kind == Kind.FORWARD_IN

    def is_train_fetch(self, span: LoopSpan) -> bool:
        """Whether a span fetches a batch to train on, or finds that there is none."""
        return span.kind == Kind.FETCH_IN and span.key in self.train_loaders

    def is_other_fetch(self, span: LoopSpan) -> bool:
        """Whether a span fetches what is not trained on."""
        return span.kind == Kind.FETCH_IN and span.key not in self.train_loaders

    def evaluates(self, span: LoopSpan) -> bool:
        """Whether a span may be evaluation: it may be a teacher's, too."""
        return self.is_other_fetch(span) or id(span) in self.quiet

    def _find_train_loaders(self) -> set[int]:
        """Loaders whose batches are trained on: fetched since the last forward or backward.

        Where several are fetched for one step, they all are; one that is fetched before what trains
        only now and then holds what evaluation left. After a forward without gradients it is not
        known whether that took the batch, or a teacher looked at it: then the loader counts if
        none of those fetched for the step is known to be trained on, and if it is so in nearly
        every step.
        """
        direct: set[int] = set()
        doubtful: list[tuple[int, set[int]]] = []
        together: Counter[int] = Counter()
        fetched: list[int] = []
        since_training: set[int] = set()
        trained, waiting = 0, False
        for span in self._spans:
            if span.kind == Kind.FETCH_IN and not span.left & Flag.EXHAUSTED:
                fetched = [*(() if waiting else fetched), span.key]
                since_training.add(span.key)
                waiting = False
            elif self.trains(span):
                if fetched and waiting:
                    doubtful.append((fetched[-1], since_training))
                else:
                    direct.update(fetched[-1:])
                together.update(set(fetched))
                trained += bool(fetched)
                fetched, since_training, waiting = [], set(), False
            elif id(span) in self.quiet:
                waiting = True  # a teacher's, or evaluation: the next fetch tells
        teachers = Counter(last for last, too in doubtful if not too & direct)
        steps = self._steps()
        direct |= {key for key, count in teachers.items() if count >= MOSTLY * steps}
        nearly_all = MOSTLY * max(trained, steps)
        return direct | {key for key, count in together.items() if count >= nearly_all}

    def _steps(self) -> int:
        """About how many steps there are: the updates of the optimizer that has most."""
        updates = Counter(optimizer_of(span) for span in self._spans if self.is_update(span))
        return max(updates.values(), default=0)
