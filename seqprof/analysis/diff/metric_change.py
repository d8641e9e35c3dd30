"""One headline metric of two recordings: both values, their ratio, a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.diff.unpaired import METHOD, Verdict, absent_reason
from seqprof.analysis.quantities import Quantity
from seqprof.analysis.statistics import Estimate, missing

Worse = Literal["larger", "smaller"]
#: What a larger and what a smaller value is called, of a time and of anything else.
TIME: tuple[Verdict, Verdict] = ("slower", "faster")
AMOUNT: tuple[Verdict, Verdict] = ("more", "less")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """One headline metric of both runs."""

    metric: str
    phase: Annotated[str | None, Meta(description="null for what belongs to no phase")]
    loop: Annotated[str | None, Meta(description="module called once per timestep")] = None
    base: Estimate
    new: Estimate
    ratio: Annotated[Estimate, Meta(description="new / base, with its 95 % interval")]
    fast: Annotated[
        Estimate | None,
        Meta(description="the same of the fast quartile, which has to agree; null for no time"),
    ] = None
    processor: Annotated[
        Estimate | None,
        Meta(
            description="the same of the processor time of these steps, which has to agree where "
            "other programs competed for the processor; null where none did"
        ),
    ] = None
    verdict: Annotated[
        Verdict | None, Meta(description="null where there is no interval to judge by")
    ]
    worse: Annotated[
        Worse | None, Meta(description="which ratio is the bad one; null where neither is")
    ]

    @property
    def key(self) -> str:
        """The name by which `--metric` chooses it: phase_time.forward."""
        return ".".join(part for part in (self.metric, self.phase, self.loop) if part)

    @property
    def moved(self) -> bool:
        """Whether the two are told apart."""
        return self.verdict in (*TIME, *AMOUNT)


def without_ratio(
    quantity: Quantity,
    phase: str | None,
    base: Estimate,
    new: Estimate,
    *,
    loop: str | None = None,
    reason: str | None = None,
) -> MetricChange:
    """Return what cannot be compared, with the reason; by default that a value is null."""
    absent = reason or absent_reason(base, new)
    return MetricChange(
        metric=quantity.key,
        phase=phase,
        loop=loop,
        base=base,
        new=new,
        ratio=missing("1", METHOD, absent),
        verdict=None,
        worse=quantity.worse,
    )
