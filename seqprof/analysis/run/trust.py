"""Whether a measurement was so disturbed that its figures are not to be trusted yet."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import seconds_span

#: Half an interval over its value: from here on a time is not known well enough to act upon …
UNKNOWN = 0.10
#: … and from here on where something is known to have disturbed it.
DISTURBED = 0.05
#: From here on per cent say less than the interval itself.
_FACTOR = 0.5
#: Kinds of caveats that name what disturbed, most telling first.
DISTURBERS = ("other_load", "steal", "involuntary_switches", "throttling", "drift", "threads")


def half_width(estimate: Estimate) -> float | None:
    """Return half the 95 % interval over the value; None where there is no interval."""
    if not estimate.value or estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / 2.0 / estimate.value


def doubt(step: Estimate, caveats: Sequence[Caveat]) -> str | None:
    """Return why the figures of a step are not to be trusted yet; None where they are.

    A step that was measured too seldom for an interval is one reason, a wide interval another.
    """
    if step.value is None:
        return None
    half = half_width(step)
    if half is None:
        return f"Do not trust these figures yet: {step.n} steps are too few for an interval."
    if half < _limit(caveats):
        return None
    known = (
        f"is known to ± {half:.0%}" if half < _FACTOR else f"is only known as {seconds_span(step)}"
    )
    return f"Do not trust these figures yet: the step time {known}{_because(caveats)}."


def doubts(steps: Sequence[Estimate], caveats: Sequence[Caveat]) -> str | None:
    """Return the same of several candidates or points: where half of them or more are unknown."""
    known = [half for half in map(half_width, steps) if half is not None]
    wide = [half for half in known if half >= _limit(caveats)]
    if not known or 2 * len(wide) < len(known):
        return None
    return (
        f"Do not trust these figures yet: {len(wide)} of {len(known)} step times are known to "
        f"± {min(wide):.0%} or less precisely{_because(caveats)}."
    )


def _limit(caveats: Sequence[Caveat]) -> float:
    disturbed = any(c.kind in DISTURBERS and c.severity != "note" for c in caveats)
    return DISTURBED if disturbed else UNKNOWN


def _because(caveats: Sequence[Caveat]) -> str:
    named = {caveat.kind: caveat for caveat in caveats}
    kind = next((kind for kind in DISTURBERS if kind in named), None)
    return "" if kind is None else f" ({named[kind].evidence})"
