"""What a claim is, and what all of them are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.depth.laws import Law
from seqprof.analysis.explain.facts import ExplainFacts, Subjected
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.scale.summary import ScaledSummary
from seqprof.analysis.statistics import Estimate

#: *shown* where the test brought what the claim says, *not_seen* where it brought something else,
#: *not_testable*, with the reason, where it could not be made here or noise hides the answer.
Verdict = Literal["shown", "not_seen", "not_testable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number behind a verdict."""

    name: str
    estimate: Estimate
    derived: Annotated[bool, Meta(description="follows from the graph: not measured")] = False
    part_of: Annotated[
        Estimate | None,
        Meta(description="the time of which it is what is left: noise can make that negative"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim about one candidate, how it was tested, and what came of it."""

    number: int
    label: Annotated[str, Meta(description="candidate that it is about")]
    text: str
    tested: Annotated[str, Meta(description="how")]
    verdict: Verdict
    because: Annotated[str, Meta(description="what the test brought, or why it was not made")]
    brief: Annotated[str, Meta(description="the figure behind the verdict, in a few words")] = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the claims are judged by."""

    facts: ExplainFacts
    scaled: ScaledSummary | None
    run: Summary | None

    @property
    def first(self) -> Subjected:
        """The candidate that the argument is about."""
        return self.facts.candidates[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A claim before its test: a verdict comes from what the test brings alone."""

    number: int
    label: str
    text: str
    tested: str
    figures: tuple[Figure, ...] = ()

    def untested(self, because: str) -> Claim:
        """Say why it cannot be tested here."""
        return self._claim("not_testable", because, "")

    def answered(self, holds: bool | None, because: str, brief: str = "") -> Claim:
        """Give the verdict; ``holds`` is None where the test was made and tells nothing."""
        verdicts: dict[bool | None, Verdict] = {True: "shown", False: "not_seen"}
        return self._claim(verdicts.get(holds, "not_testable"), because, brief)

    def _claim(self, verdict: Verdict, because: str, brief: str) -> Claim:
        return Claim(
            number=self.number,
            label=self.label,
            text=self.text,
            tested=self.tested,
            verdict=verdict,
            because=because,
            brief=brief,
            figures=self.figures,
        )


def grows_with_length(law: Law) -> bool | None:
    """Whether a chain grows with T itself, not only with its logarithm; None without a law."""
    if law.text is None:
        return None
    return any(term.startswith("T") for term in law.coefficients)


def counted(name: str, value: float, method: str) -> Figure:
    """Return what was counted on shapes alone: exact, so without an interval."""
    return Figure(name=name, estimate=Estimate(value=value, unit="1", method=method, n=1))


def below(estimate: Estimate, limit: float) -> bool | None:
    """Whether a value is below a limit; None where its interval holds the limit."""
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    if low is None or high is None or low < limit <= high:
        return None
    return high < limit
