"""Latency of timesteps that no module marks, from what repeats in profiled steps."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.phases import headline_kind
from seqprof.analysis.run.profile import ProfileSummary
from seqprof.analysis.statistics import median, quantile
from seqprof.recording import RepeatedActivities
from seqprof.reports import quantities as q
from seqprof.reports.document import Block, Cell, Chart, Prose, Table, heads, word
from seqprof.reports.plots import Curve, is_wide, over_timesteps, overlapping, stretched, thinned

#: How a phase is called where timesteps are its subject.
NAMES = {"forward": "forward", "backward": "BPTT"}
_METHOD = "kernels or operators that repeat, over the timesteps of one profiled step"
#: Repeats beyond which neighbours share a point of the curve.
_MOST_POINTS = 100_000


def repeats(profile: ProfileSummary, reason: str) -> list[Block]:
    """Return the loops over timesteps that the profiled pass shows; nothing where it shows none.

    Args:
        profile: the pass.
        reason: why no timestep was marked.
    """
    loops = profile.measured.recurrences
    if not loops:
        return []
    return [Prose(lines=[_source(profile, reason)]), _chart(loops)]


def _source(profile: ProfileSummary, reason: str) -> str:
    what = "operators" if profile.measured.on == "processor" else "kernels"
    slowed = profile.slowdown
    kind = headline_kind(slowed)
    factor = "" if slowed.value is None else f", {slowed.value:.1f} times as long as {kind} ones"
    return (
        f"No mark could be set: {reason}. The timesteps are {what} that repeat, as steps under "
        f"torch.profiler show them{factor}."
    )


def _chart(loops: Sequence[RepeatedActivities]) -> Chart:
    longest = max(loop.repeats for loop in loops)
    span = thinned(longest * len(loops), _MOST_POINTS)
    values = [value for loop in loops for value in loop.latency_s]
    curves = [
        Curve(name=_name(loop), colour=loop.phase, y=stretched(loop.latency_s, span, median))
        for loop in loops
    ]
    return Chart(
        title="what repeats",
        label="Latency of what repeats: "
        + ", ".join(f"{_name(loop)} typically {_typical(loop)}" for loop in loops),
        plot=over_timesteps(longest, span, curves, yname="latency", log=is_wide(values)),
        table=_table(loops),
        remarks=[
            "In the order in which they ran, the backward from the last timestep; of several loops "
            "of a phase that are alike the first.",
            *overlapping(curves),
        ],
    )


def _name(loop: RepeatedActivities) -> str:
    return NAMES.get(loop.phase, loop.phase)


def _typical(loop: RepeatedActivities) -> str:
    return q.seconds(median(loop.latency_s))


def _table(loops: Sequence[RepeatedActivities]) -> Table:
    rows = [
        [
            word(_name(loop)),
            word(f"{loop.repeats:,}"),
            word(f"{loop.loops:,}"),
            word(f"{loop.period:,}"),
            Cell(text=_typical(loop), method=_METHOD),
            Cell(text=q.seconds(quantile(loop.latency_s, 0.95)), method=_METHOD),
        ]
        for loop in loops
    ]
    evidence = dict.fromkeys(loop.evidence.partition(";")[0] for loop in loops)
    return Table(
        caption="What repeats, in profiled steps",
        columns=heads("phase", "repeats", "loops", "operators", "p50", "p95"),
        rows=rows,
        remarks=[f"why these are timesteps: {' / '.join(evidence)}"],
    )
