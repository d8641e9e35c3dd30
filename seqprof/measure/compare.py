"""How candidates are compared.

::

    start | match | prepare A B C … | A B C | B C A | C A B | A B C … | sweeps | dwells | depths

Workers import torch and build at the same time; from the warm-up on, one works at a time. A round
visits every candidate once, at every length. Which one is first moves on, so that none always runs
on the core that another has just cleared of other programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

from seqprof.errors import SeqprofError
from seqprof.measure.candidates import Contender, at_point, with_width
from seqprof.measure.faults import Failure
from seqprof.measure.outcome import Outcome, Progress
from seqprof.measure.workers.entry import Entry
from seqprof.measure.workers.field import Field
from seqprof.spec import DEFAULT_HEADS, Spec
from seqprof.workloads.registry import families

#: Without `--rounds`: as many as this, or as fit into this time, but never fewer than these.
ROUNDS, MAX_S, FEWEST_ROUNDS = 40, 7.0, 6
#: Rounds in which others had the processor are taken again, until this many times that time.
PATIENCE = 2.0
Match = Literal["width", "params", "flops"]
#: A match this close is good enough: hidden sizes are whole numbers.
MATCH_WITHIN = 0.005
_MOST_GUESSES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to compare and how.

    Attributes:
        contenders: at least one; the baseline is one of their labels.
        lengths: sequence lengths; empty for the specs' own.
        batch_size: None for the specs' own.
        rounds: None for as many as fit.
        timesteps: whether each timestep is timed too.
    """

    contenders: tuple[Contender, ...]
    baseline: str
    lengths: tuple[int, ...] = ()
    batch_size: int | None = None
    rounds: int | None = None
    match: Match | None = None
    timesteps: bool = False


def measure_comparison(plan: Plan, command: str, progress: Progress) -> Outcome:
    """Measure all candidates in interleaved rounds.

    Raises:
        SeqprofError: a candidate cannot be built, trained or matched.
    """
    if plan.match is not None:
        for contender in plan.contenders:
            _refuse_own(contender)
    with Field(plan.contenders, plan.timesteps) as field:
        try:
            progress.stage("starting the candidates", None)
            field.wait_until_ready()
            contenders = _matched(field, plan, progress)
            _prepare(field, contenders, plan, progress)
            _take_rounds(field, plan.rounds, progress)
            _take_rest(field, progress)
        except KeyboardInterrupt as end:
            field.interrupt(end)
        recording = field.recording("compare", command, plan.baseline, plan.match)
        return Outcome(recording, field.exit_code)


def _prepare(field: Field, contenders: Sequence[Contender], plan: Plan, progress: Progress) -> None:
    for length in plan.lengths or (None,):
        for index, contender in enumerate(contenders):
            spec = at_point(contender.spec, length, plan.batch_size)
            field.entries.append(Entry(index, contender.label, spec))
    progress.stage("warming up", len(field.entries))
    for done, entry in enumerate(list(field.entries), start=1):
        field.prepare(entry)
        progress.advance(done)


def _take_rounds(field: Field, wanted: int | None, progress: Progress) -> None:
    total = wanted or ROUNDS
    progress.stage("measuring in turns", total)
    began = monotonic()
    for round_ in range(total):
        entries = [entry for entry in field.entries if entry.ready]
        if not entries or (wanted is None and is_enough(entries, round_, monotonic() - began)):
            return
        first = round_ % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            field.visit(entry, round_)
        progress.advance(round_ + 1)


def is_enough(entries: Sequence[Entry], rounds: int, taken_s: float) -> bool:
    """Whether the time is spent and the fewest rounds are there: undisturbed ones, for a while."""
    disturbed = {round_ for entry in entries for round_ in entry.draft.contended_rounds}
    if taken_s <= MAX_S or rounds < FEWEST_ROUNDS:
        return False
    return rounds - len(disturbed) >= FEWEST_ROUNDS or taken_s > PATIENCE * MAX_S


def _take_rest(field: Field, progress: Progress) -> None:
    entries = [entry for entry in field.entries if entry.ready]
    progress.stage("deriving the marginal cost", len(entries))
    for done, entry in enumerate(entries, start=1):
        field.take_timesteps(entry)
        if entry.ready:
            field.take_sweep(entry)
        progress.advance(done)
    if any(entry.on_accelerator for entry in entries):
        progress.stage("dwelling on each phase for NVML", len(entries))
        for done, entry in enumerate(entries, start=1):
            if entry.ready:
                field.take_dwells(entry, ("forward", "backward", "step"))
            progress.advance(done)
    progress.stage("deriving the sequential depth", None)
    field.take_depths()


# Matching -------------------------------------------------------------------------------------


def _matched(field: Field, plan: Plan, progress: Progress) -> tuple[Contender, ...]:
    """Return the candidates with hidden sizes at which they have what the baseline has."""
    if plan.match is None:
        return plan.contenders
    progress.stage(f"matching {plan.match}", len(plan.contenders))
    labels = [contender.label for contender in plan.contenders]
    reference = plan.contenders[labels.index(plan.baseline)]
    if plan.match == "width":
        width = reference.spec.model.hidden_size
        return tuple(replace(c, spec=with_width(c.spec, width)) for c in plan.contenders)
    target = _quantity(field, labels.index(plan.baseline), _at_first(reference.spec, plan), plan)
    matched = []
    for index, contender in enumerate(plan.contenders):
        spec = contender.spec
        if contender.label != plan.baseline:
            spec = with_width(spec, _find_width(field, index, spec, plan, target))
        matched.append(replace(contender, spec=spec))
        progress.advance(index + 1)
    return tuple(matched)


def _refuse_own(contender: Contender) -> None:
    if contender.spec.model.name is None:
        raise SeqprofError(
            f"--match: {contender.label} is a model of your own, whose size seqprof cannot change",
            "give it the size you want through model.kwargs, and leave --match out",
        )


def _at_first(spec: Spec, plan: Plan) -> Spec:
    """FLOPs depend on the length; they are matched at the first one."""
    return at_point(spec, plan.lengths[0] if plan.lengths else None, plan.batch_size)


def _quantity(field: Field, index: int, spec: Spec, plan: Plan) -> int:
    answer = field.describe(index, spec)
    if isinstance(answer, Failure):
        raise SeqprofError(f"--match {plan.match}: {answer.detail}")
    if plan.match == "params":
        return answer.parameters or 0
    if answer.flops_per_step is None:
        raise SeqprofError(
            f"--match flops: the FLOPs of {spec.model.name} are not known: {answer.flops_reason}",
            "match params or width instead",
        )
    return answer.flops_per_step


def _find_width(field: Field, index: int, spec: Spec, plan: Plan, target: int) -> int:
    """Return the hidden size whose quantity is nearest to ``target``.

    Parameters and FLOPs grow about as the square of the width, so each guess goes by that; at the
    end neighbours are tried in turn.
    """
    multiple = width_multiple(spec)
    tried: dict[int, float] = {}
    guess = max(1, spec.model.hidden_size // multiple)
    while len(tried) < _MOST_GUESSES and guess not in tried:
        width = with_width(spec, guess * multiple)
        value = _quantity(field, index, _at_first(width, plan), plan)
        tried[guess] = abs(value / target - 1)
        if tried[guess] <= MATCH_WITHIN:
            break
        step = round(guess * (target / value) ** 0.5)
        guess = max(1, step if step != guess else guess + (1 if value < target else -1))
    return min(tried, key=lambda guess: tried[guess]) * multiple


def width_multiple(spec: Spec) -> int:
    """Return what the hidden size must be a multiple of: two features for each head."""
    family = families().get(spec.model.name or "")
    if family is None or "heads" not in family.options:
        return 1
    return 2 * (spec.model.heads or DEFAULT_HEADS)
