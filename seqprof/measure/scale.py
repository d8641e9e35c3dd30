"""How a cost is measured over lengths and batch sizes.

::

    start | prepare, small first | rounds, each in an order of its own | the widest again … | depths

A point that runs out of memory is a result; larger ones of the same candidate are not tried. Once
every point has its first rounds, what is left of the budget goes to the point whose interval is
widest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from seqprof.errors import SeqprofError
from seqprof.measure.candidates import Contender, at_point
from seqprof.measure.compare import Outcome, Progress, refuse_broken
from seqprof.measure.field import Entry, Field

#: Rounds of every point before the widest interval decides: what an interval needs.
FIRST_ROUNDS = 5
#: A point is known well enough when its rounds spread so little.
NARROW = 0.01
MOST_ROUNDS = 30


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
            _prepare(field, progress)
            _measure(field, scaling.budget_s, progress)
            progress.stage("deriving the sequential depth", None)
            field.take_depths()
        except KeyboardInterrupt:
            field.interrupt()
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
        points = [(n, batch * lengths[0] // n) for n, batch in points]
        if any(batch < 1 for _, batch in points):
            raise SeqprofError(
                f"--constant-tokens: {batches[0]} sequences of {lengths[0]} timesteps have fewer "
                f"tokens than one sequence of {lengths[-1]}",
                f"raise --batch to {lengths[-1] // lengths[0]} or more",
            )
    return sorted(points, key=lambda point: (point[0] * point[1], point))


def _prepare(field: Field, progress: Progress) -> None:
    progress.stage("warming up, small points first", len(field.entries))
    for done, entry in enumerate(list(field.entries), start=1):
        smaller = _exhausted(entry, field.entries)
        if smaller is None:
            field.prepare(entry)
        else:
            timesteps, batch = smaller.key
            entry.fail(
                "out_of_memory",
                f"not tried: T = {timesteps} with batch {batch} ran out of memory",
            )
        progress.advance(done)
    for index in range(len(field.contenders)):
        own = [entry for entry in field.entries if entry.contender == index]
        if not any(entry.ready for entry in own):
            refuse_broken(own[0])


def _exhausted(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """Return a point of the same candidate that is not larger and ran out of memory."""
    for other in entries:
        if other is entry:
            return None
        same = other.contender == entry.contender
        inside = all(a <= b for a, b in zip(other.key, entry.key, strict=True))
        if same and inside and any(i.kind == "out_of_memory" for i in other.incidents):
            return other
    return None


def _measure(field: Field, budget_s: float, progress: Progress) -> None:
    order = random.Random(field.entries[0].spec.train.seed)
    taken = dict.fromkeys(range(len(field.entries)), 0)
    left = budget_s
    while True:
        ready = [i for i, entry in enumerate(field.entries) if entry.ready]
        batch = _next_visits(field.entries, ready, taken, left, order)
        if not batch:
            return
        for index in batch:
            left = budget_s - field.now_s
            if left < 0 and all(taken[i] for i in ready):
                return
            seconds = max(0, round(left))
            progress.stage(f"measuring, {seconds} s left", budget_s)
            progress.advance(min(budget_s, field.now_s))
            field.visit(field.entries[index], taken[index])
            taken[index] += 1


def _next_visits(
    entries: Sequence[Entry],
    ready: Sequence[int],
    taken: dict[int, int],
    left: float,
    order: random.Random,
) -> list[int]:
    """Return a whole round in a new order at first; later the point with the widest spread."""
    first = [index for index in ready if taken[index] < FIRST_ROUNDS]
    if first:
        return order.sample(first, len(first))
    wide = [
        (spread(entries[index]), index)
        for index in ready
        if taken[index] < MOST_ROUNDS and _cost(entries[index]) < left
    ]
    widest = max(wide, default=(0.0, -1))
    return [widest[1]] if widest[0] > NARROW else []


def _cost(entry: Entry) -> float:
    return entry.typical_s * (entry.steps_per_visit + 1)


def spread(entry: Entry) -> float:
    """Return how uncertain an entry's median is: half the middle half of its steps over √n."""
    walls = sorted(step.wall_s for step in entry.steps)
    quarter = len(walls) // 4
    middle = walls[-1 - quarter] - walls[quarter]
    rounds = len({step.pair for step in entry.steps})
    centre: float = walls[len(walls) // 2]
    return middle / 2 / centre / math.sqrt(rounds)
