"""How a cost is measured over lengths and batch sizes.

::

    start | prepare, small first | rounds, each in an order of its own | the widest again … | depths
          |<------------------------------- --budget -------------------------------------->|

A point that runs out of memory is a result; larger ones of the same candidate are not tried. Once
every point has its first rounds, what is left of the budget goes to the point whose interval is
widest. On an accelerator a part of that is kept for a dwell on each point.

Threads that others keep from the processor wait for one another: a step takes many times as long as
the load alone would make it. So nothing is planned after what was measured so, and a point's round
in such a spell is taken again, as long as the budget lasts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from seqprof.analysis.compare.rounds import relative_width
from seqprof.analysis.statistics import SMALLEST_INTERVAL
from seqprof.analysis.wording import seconds_in_words
from seqprof.errors import SeqprofError
from seqprof.measure.candidates import Contender, at_point
from seqprof.measure.faults import Failure
from seqprof.measure.outcome import Outcome, Progress
from seqprof.measure.workers.entry import Entry
from seqprof.measure.workers.field import Field
from seqprof.recording import DeviceSamples

#: Undisturbed rounds of every point before the widest interval decides: what an interval needs.
FIRST_ROUNDS = SMALLEST_INTERVAL
#: A point is known well enough when half of its interval is this share of its value.
NARROW = 0.01
MOST_ROUNDS = 30
#: A point that is warm so soon is tried even when the budget is spent.
QUICK_S = 2.0
#: Most of the budget that may be kept for dwells.
DWELL_SHARE = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Which points to measure.

    Attributes:
        contenders: one or more.
        lengths: sequence lengths; empty for the specs' own.
        batches: batch sizes; empty for the specs' own.
        constant_tokens: the batch shrinks as the sequence grows, so that a step has as many tokens
            as the shortest length has at its batch size.
        budget_s: when to stop.
    """

    contenders: tuple[Contender, ...]
    lengths: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    constant_tokens: bool = False
    budget_s: float = 60.0


def measure_scaling(scaling: Scaling, command: str, progress: Progress) -> Outcome:
    """Measure all candidates at all points.

    Raises:
        SeqprofError: a candidate cannot be built or trained at any point.
    """
    with Field(scaling.contenders) as field:
        try:
            progress.stage("starting the candidates", None)
            field.wait_until_ready()
            for index, contender in enumerate(scaling.contenders):
                for length, batch in points_of(contender, scaling):
                    spec = at_point(contender.spec, length, batch)
                    field.entries.append(Entry(index, contender.label, spec))
            prepare_points(field, scaling.budget_s, progress)
            kept_s = _kept_for_dwells(field, scaling.budget_s)
            measure_points(field, scaling.budget_s, progress, kept_s)
            _take_dwells(field, scaling.budget_s, progress)
            progress.stage("deriving the sequential depth", None)
            field.take_depths()
        except KeyboardInterrupt as end:
            field.interrupt(end)
        recording = field.recording("scale", command)
        return Outcome(recording, field.exit_code)


def points_of(contender: Contender, scaling: Scaling) -> list[tuple[int, int]]:
    """Return the points of one candidate, (timesteps, batch size), the smallest first.

    Raises:
        SeqprofError: constant tokens leave a batch below one.
    """
    data = contender.spec.data
    lengths = scaling.lengths or (data.seq_len,)
    batches = scaling.batches or (data.batch_size,)
    points = list(product(lengths, batches))
    if scaling.constant_tokens:
        points = [(n, batches[0] * lengths[0] // n) for n in lengths]
        if len(batches) > 1:
            raise SeqprofError(
                "--constant-tokens: the batch follows from the length; --batch gives it at the "
                f"shortest one, so it takes one number, not {len(batches)}"
            )
        if any(batch < 1 for _, batch in points):
            raise SeqprofError(
                f"--constant-tokens: {batches[0]} sequences of {lengths[0]} timesteps have fewer "
                f"tokens than one sequence of {lengths[-1]}",
                f"raise --batch to {math.ceil(lengths[-1] / lengths[0])} or more",
            )
    return sorted(points)


def prepare_points(
    field: Field,
    budget_s: float,
    progress: Progress,
    quick_s: float = QUICK_S,
    entries: Sequence[Entry] | None = None,
) -> None:
    """Build and warm up points, small ones first, as far as the budget lasts.

    Args:
        quick_s: a point that takes no longer is tried even when the budget is spent.
        entries: these alone; None for all.
    """
    wanted = field.entries if entries is None else entries
    by_size = sorted(wanted, key=lambda entry: math.prod(entry.key))
    for done, entry in enumerate(by_size):
        left_s = budget_s - field.now_s
        progress.stage(f"warming up, {_seconds(left_s)} left", len(by_size))
        progress.advance(done)
        skip = why_not_tried(entry, field.entries, left_s, quick_s)
        if skip is None:
            field.prepare(entry)
        else:
            entry.draft.fail(skip)


def why_not_tried(
    entry: Entry, entries: Sequence[Entry], left_s: float, quick_s: float = QUICK_S
) -> Failure | None:
    """Return why a point is not even tried; None where it is to be tried."""
    own = [other for other in entries if other.contender == entry.contender]
    inside = [o for o in own if all(a <= b for a, b in zip(o.key, entry.key, strict=True))]
    for other in inside:
        if other.draft.failure is not None and other.draft.failure.kind == "out_of_memory":
            timesteps, batch = other.key
            reason = f"not tried: T = {timesteps} with batch {batch} ran out"
            return Failure("out_of_memory", reason)
    # A larger point takes longer, at least in proportion to its tokens. The largest that is ready
    # tells best: a process's first point, most often a small one, pays for all its imports. One
    # that was disturbed tells nothing.
    calm = (o for o in inside if o.ready and not o.disturbed)
    known = max(calm, key=lambda o: math.prod(o.key), default=None)
    expected_s = 0.0
    if known is not None:
        expected_s = known.prepare_s * math.prod(entry.key) / math.prod(known.key)
    if expected_s > max(left_s, quick_s):
        left = f"{seconds_in_words(left_s)} of the budget were left"
        spent = "the budget was spent"
        takes = f"warming it up takes {seconds_in_words(expected_s)} or more, and "
        why = f"{takes if known else ''}{left if left_s > 0.0 else spent}"
        return Failure("budget_spent", f"not tried: {why}")
    return None


def _seconds(value: float) -> str:
    return f"{max(0.0, value):.0f} s"


def measure_points(
    field: Field,
    budget_s: float,
    progress: Progress,
    kept_s: float = 0.0,
    between: Callable[[], None] | None = None,
    least_rounds: int = 1,
    end_s: float = math.inf,
) -> None:
    """Visit the points that are ready until all is known well enough or the budget is spent.

    Args:
        kept_s: of the budget, for what comes after; not kept from a point's first rounds.
        between: called before each visit, to measure what belongs beside it.
        least_rounds: so many of each point are taken even when the budget is spent.
        end_s: by the field's clock; from then on not even those are taken.
    """
    turns = Turns(len(field.entries), field.entries[0].spec.train.seed, least_rounds)

    def width(index: int) -> float:
        draft = field.entries[index].draft
        return relative_width(draft.steps, draft.contended_rounds)

    def cost_s(index: int) -> float:
        return visit_s(field.entries[index])

    while True:
        ready = [index for index, entry in enumerate(field.entries) if entry.ready]
        few = any(turns.taken[index] < FIRST_ROUNDS for index in ready)
        until_s = budget_s - (0.0 if few else kept_s)  # every point's interval before any dwell
        left_s = until_s - field.now_s
        index = turns.next(ready, left_s, width, cost_s)
        if index is None or field.now_s > end_s:
            return
        progress.stage(f"measuring, {_seconds(left_s)} left", until_s)
        progress.advance(min(until_s, field.now_s))
        if between is not None:
            between()
        field.visit(field.entries[index], turns.taken[index])
        turns.taken[index] += 1
        turns.disturbed[index] = len(field.entries[index].draft.contended_rounds)


def visit_s(entry: Entry) -> float:
    """Return about how long one visit of a point takes."""
    return entry.typical_s * (entry.steps_per_visit + 1)


class Turns:
    """Decides which point is visited next. Knows neither clock nor worker.

    Attributes:
        taken: visits of each point, which the caller counts.
        disturbed: those of them that are taken again, likewise.
    """

    def __init__(self, points: int, seed: int, least: int = 1) -> None:
        self.taken, self.disturbed = [0] * points, [0] * points
        self._least = least
        self._order = random.Random(seed)
        self._round: list[int] = []

    def next(
        self,
        ready: Iterable[int],
        left_s: float,
        width: Callable[[int], float],
        cost_s: Callable[[int], float],
    ) -> int | None:
        """Return a point: the next of a round in random order, later the one known worst.

        Args:
            ready: points that can be visited.
            left_s: of the budget; negative when it is spent.
            width: half of a point's interval over its value.
            cost_s: of one visit.

        Returns:
            None when all is known well enough, or the budget is spent and every point was visited
            as often as it has to be.
        """
        ready = set(ready)
        if left_s < 0.0 and all(self.taken[index] >= self._least for index in ready):
            return None
        self._round = [index for index in self._round if index in ready]
        if not self._round:
            few = sorted(index for index in ready if self._needs_rounds(index))
            self._round = self._order.sample(few, len(few))
        if self._round:
            return self._round.pop()
        wide = [
            (width(index), index)
            for index in sorted(ready)
            if self.taken[index] < MOST_ROUNDS and cost_s(index) < left_s
        ]
        widest = max(wide, default=(0.0, -1))
        return widest[1] if widest[0] > NARROW else None

    def _needs_rounds(self, index: int) -> bool:
        undisturbed = self.taken[index] - self.disturbed[index]
        return undisturbed < FIRST_ROUNDS and self.taken[index] < MOST_ROUNDS


# Dwells ---------------------------------------------------------------------------------------


def _kept_for_dwells(field: Field, budget_s: float) -> float:
    wanted_s = sum(e.spec.measure.dwell_s for e in field.entries if e.ready and e.on_accelerator)
    return min(wanted_s, DWELL_SHARE * budget_s)


def _take_dwells(field: Field, budget_s: float, progress: Progress) -> None:
    """Repeat the step of each point for NVML, as long as the budget lasts."""
    entries = [entry for entry in field.entries if entry.ready and entry.on_accelerator]
    for done, entry in enumerate(entries):
        left_s = budget_s - field.now_s
        progress.stage(f"dwelling on each step for NVML, {_seconds(left_s)} left", len(entries))
        progress.advance(done)
        if entry.spec.measure.dwell_s > left_s:
            entry.draft.samples = DeviceSamples(reason="the budget was spent before a dwell on it")
        elif entry.ready:
            field.take_dwells(entry, ("step",))
