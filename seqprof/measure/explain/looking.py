"""Graphs and effects of all candidates, from children: a model that dies or hangs costs its own."""

from __future__ import annotations

from collections.abc import Callable

from seqprof.analysis.depth.model_depth import Assumptions
from seqprof.analysis.explain.facts import Influence, Subjected
from seqprof.errors import EndedError
from seqprof.measure.aside import Aside, Teller, do_aside
from seqprof.measure.explain.parts import Begun, Found
from seqprof.measure.explain.plan import (
    GRAPHS_END,
    GRAPHS_UNTIL,
    LEAST_S,
    LEAST_STARTING_S,
    ExplainPlan,
)
from seqprof.measure.outcome import Progress


class Looking:
    """Looks into all candidates, in a child; after a model that ends it, in another one.

    Args:
        now_s: the clock of the budget.

    Attributes:
        candidates: what is known of each; at first that it was not reached, for ``not_yet``.
        hung: candidates that had to be ended, and where they were.
        unbuilt: those of them that were being imported or built.
        import_s: what a child took for its imports.
    """

    def __init__(
        self, plan: ExplainPlan, budget_s: float, now_s: Callable[[], float], not_yet: str
    ) -> None:
        self._plan, self._budget_s, self._now_s = plan, budget_s, now_s
        self.candidates = [
            Subjected(label=contender.label, depth_reason=not_yet) for contender in plan.contenders
        ]
        self.assumptions: Assumptions | None = None
        self.hung: dict[int, str] = {}
        self.unbuilt: set[int] = set()
        self.import_s = 0.0
        self._hung_s = 0.0  # what those that hung took from the others
        self._waiting = list(range(len(self.candidates)))
        self._at, self._began_s, self._imported = Begun(0), 0.0, False

    @property
    def least_s(self) -> float:
        """How long a model may take at least: on a machine that others use all takes longer."""
        return max(LEAST_S, self.import_s)

    def look_into_all(self, progress: Progress) -> None:
        """Fill ``candidates``.

        Raises:
            SeqprofError: one cannot be built.
            EndedError: a signal ended it.
        """
        within_s = max(LEAST_STARTING_S, self._budget_s)
        while self._waiting:
            self._at, self._began_s = Begun(self._waiting[0]), self._now_s()
            self._imported = False
            aside = do_aside(self._look, progress, within_s, self._take)
            if aside.ended:
                raise EndedError(aside.ended)
            if aside.hung and not self._imported:
                return self._give_up(f"importing torch had not ended after {within_s:.0f} s")
            if aside.reason is not None:
                self._note_death(aside)
        return None

    def _look(self, tell: Teller) -> None:
        from seqprof.measure.explain.inside import look_into_all  # imports torch

        look_into_all(self._plan, tuple(self._waiting), self._in_time, tell)

    def _in_time(self) -> bool:
        return bool(self.hung) or self._now_s() < self._until_s

    @property
    def _until_s(self) -> float:
        """By when graphs are recorded; later where a model that hung took the time."""
        share = GRAPHS_UNTIL * self._budget_s
        return min(share + self._hung_s, GRAPHS_END * self._budget_s)

    def _take(self, part: Assumptions | Begun | Found) -> float | None:
        """Take what a child hands over; returns how long what it begins may take."""
        if isinstance(part, Assumptions):
            self.assumptions, self._imported = part, True
            self.import_s = max(self.import_s, self._now_s() - self._began_s)
        elif isinstance(part, Begun):
            self._at, self._began_s = part, self._now_s()
            last = len(self._waiting) == 1
            end_s = GRAPHS_END * self._budget_s if last else self._until_s
            return max(self.least_s, end_s - self._began_s)
        else:
            self._waiting.remove(part.candidate)
            self.candidates[part.candidate] = part.subjected
        return None

    def _note_death(self, aside: Aside) -> None:
        """Note that a candidate ended the process that looked into it, or had to be ended."""
        assert aside.reason is not None
        index = self._at.candidate
        self._waiting.remove(index)
        self._died(index, aside.reason)
        if aside.hung:
            self.hung[index] = aside.reason
            self._hung_s += self._now_s() - self._began_s
            if self._at.building:
                self.unbuilt.add(index)

    def _give_up(self, reason: str) -> None:
        for index in self._waiting:
            self._died(index, reason)

    def _died(self, index: int, reason: str) -> None:
        self.candidates[index] = Subjected(
            label=self._plan.contenders[index].label,
            depth_reason=reason,
            influence=Influence(timesteps=0, reason=reason),
        )
