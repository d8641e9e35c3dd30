"""What `seqprof explain` measures, and with how much time. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprof.errors import SeqprofError
from seqprof.measure.candidates import Contender, at_point
from seqprof.measure.faults import Failure
from seqprof.measure.scale import FIRST_ROUNDS, visit_s
from seqprof.measure.workers.entry import Entry

#: Lengths and batches are these many times the specs' own.
LENGTHS, BATCHES = (0.5, 1, 2, 4), (0.125, 0.25, 0.5, 2, 4)
#: Shares of the budget: by when graphs are recorded, and by when points are warm; the most that
#: the marked steps of the first candidate may take, and the least, for which points are left out.
GRAPHS_UNTIL, WARM_UNTIL, MARKED_SHARE, MARKED_LEAST = 0.35, 0.6, 0.15, 0.1
#: For the claims and the page: judging resamples all rounds.
JUDGING_S = 2.5
#: What the budget left no time for.
SPENT = "the budget was spent before it"
#: A model that has not ended then is ended: its graphs at GRAPHS_UNTIL where others wait for
#: theirs, else at this share of the budget; its marked run after so many times of what it was
#: given. Each has so long at least, and as long as importing torch took: on a machine that others
#: use all takes longer.
GRAPHS_END, MARKED_END, LEAST_S = 0.6, 2.0, 5.0
#: Importing torch is waited for as long as the budget, but so long at least: without it there is
#: nothing at all.
LEAST_STARTING_S = 120.0
#: Rounds that an interval needs are taken until this many times the budget, then not even those.
ROUNDS_END = 1.2
#: A worker's first steps are waited for during this share of the budget, but so long at least, and
#: so many times of what importing torch took.
PATIENCE, LEAST_PATIENCE_S, PATIENCE_IN_IMPORTS = 0.25, 8.0, 2.0
#: A point that is warm after this share of the budget is tried even when it is spent.
QUICK = 1 / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainPlan:
    """What is explained.

    Attributes:
        contenders: all candidates, the first is the one that the argument is about.
        words: as the user gave them.
        marked: the first again, in the form whose timesteps can be seen.
        overrides: what the user set, for the graphs of families.
        based: whether names start from a config.
        budget_s: how long all of it may take.
        began_ns: when it began, by ``perf_counter_ns``.
    """

    contenders: tuple[Contender, ...]
    words: tuple[str, ...]
    marked: Contender
    overrides: tuple[str, ...] = ()
    based: bool = False
    budget_s: float = 60.0
    began_ns: int


def points_of(contender: Contender, *, with_batches: bool) -> tuple[list[tuple[int, int]], str]:
    """Return the points of a candidate, and why there is but one of them, or ''.

    A cross: all lengths at the spec's batch, and ``with_batches`` all batches at its length.
    """
    data = contender.spec.data
    own = (data.seq_len, data.batch_size)
    try:
        at_point(contender.spec, *own)
    except SeqprofError as error:
        return [own], error.message
    lengths = {max(2, int(data.seq_len * by)) for by in LENGTHS}
    batches = {max(1, int(data.batch_size * by)) for by in BATCHES} if with_batches else set()
    along = {(length, data.batch_size) for length in lengths}
    return sorted(along | {(data.seq_len, batch) for batch in batches}), ""


def entries_of(plan: ExplainPlan) -> tuple[list[Entry], str]:
    """Return all points to be measured, and why some candidate has but one, or ''.

    The first candidate is measured over the batch too: its claims alone are about that.
    """
    entries: list[Entry] = []
    reasons: list[str] = []
    for index, contender in enumerate(plan.contenders):
        points, reason = points_of(contender, with_batches=index == 0)
        if index == 0 and reason:
            reasons.append(reason)
        for length, batch in points:
            spec = contender.spec
            if not reason:
                spec = at_point(spec, length, batch)
            entries.append(Entry(index, contender.label, spec))
    return entries, "; ".join(reasons)


def rounds_cost_s(entries: Sequence[Entry]) -> float:
    """Return what the rounds that an interval needs take, of all points that are ready."""
    return sum(FIRST_ROUNDS * visit_s(entry) for entry in entries if entry.ready)


def leave_out(entries: Sequence[Entry], left_s: float) -> None:
    """Give up the costliest points until the others' first rounds fit into ``left_s``.

    Three of a candidate stay, that its growth is seen; of the lengths the longest go first.
    """
    while rounds_cost_s(entries) > left_s:
        ready = [entry for entry in entries if entry.ready]
        spare = [e for e in ready if sum(o.contender == e.contender for o in ready) > 3]
        if not spare:
            return
        costliest = max(spare, key=visit_s)
        costliest.draft.fail(
            Failure(
                "budget_spent",
                f"left out: {FIRST_ROUNDS} rounds of it take "
                f"{FIRST_ROUNDS * visit_s(costliest):.0f} s, too much of the budget",
            )
        )
