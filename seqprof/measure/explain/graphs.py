"""What is known of a candidate without any clock: its graph, and how changes go through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seqprof.analysis.depth.model_depth import Assumptions, derive
from seqprof.analysis.depth.operation_graph import OperationGraph
from seqprof.analysis.explain.facts import FirstTimesteps, Subjected
from seqprof.instruments.torch_bridge import current_accelerator
from seqprof.measure.candidates import Contender
from seqprof.measure.depth.counted import record, record_lengths
from seqprof.measure.depth.subjects import Subject, config_subject, subject_of
from seqprof.measure.explain.influence import try_influence
from seqprof.measure.faults import reason_of
from seqprof.measure.names import look_up

#: Timesteps whose operations are kept, to be drawn: so many that a chain over them is longer than
#: that of an architecture without one.
DRAWN = 6
#: Of the lengths at which a graph is recorded: the law tells the rest.
LONGEST = 128
#: Lengths are doubled as long as a graph has no more operations than this.
_QUICK_OPERATIONS = 2_000
_DOUBLINGS = 2


def look_into(
    contender: Contender, word: str, assumptions: Assumptions, overrides: Sequence[str] | None
) -> Subjected:
    """Record a candidate's graph and change its inputs; what fails has a reason in its place.

    Args:
        overrides: those of a family's model; None where it starts from a config.
    """
    influence = try_influence(contender.spec, contender.folder)
    try:
        subject = _subject(contender, word, overrides)
        lengths = _lengths(subject, min(contender.spec.data.seq_len, LONGEST))
        recorded, _ = record_lengths(subject, lengths, _ignore, current_accelerator())
        depth = derive(replace(recorded, model=contender.label), assumptions)
        first = first_timesteps(record(subject, DRAWN), DRAWN)
    except Exception as error:  # whatever the model does on shapes alone
        reason = reason_of(error)
        return Subjected(label=contender.label, depth_reason=reason, influence=influence)
    return Subjected(label=contender.label, depth=depth, first=first, influence=influence)


def _subject(contender: Contender, word: str, overrides: Sequence[str] | None) -> Subject:
    """A family's body as `depth` takes it; anything else with its data and its loss."""
    named = look_up(word)
    if named.kind == "family" and overrides is not None:
        of_model = [text for text in overrides if text.startswith("model.")]
        return subject_of(named, contender.spec.data.batch_size, of_model)[0]
    return config_subject(contender.spec, contender.folder, contender.label, None)


def _lengths(subject: Subject, longest: int) -> list[int]:
    """Return T and its half, for what twice T costs; more doublings where they cost little."""
    if longest < 4 or subject.truncate is not None:
        return [longest]
    lengths = [longest // 2, longest]
    short, long = (len(record(subject, t).names) for t in (4, 8))
    for _ in range(_DOUBLINGS):
        if short + (long - short) / 4 * lengths[-1] * 2 < _QUICK_OPERATIONS:
            lengths.append(2 * lengths[-1])
    return lengths


def _ignore(_: float) -> None:
    """Lengths are not counted here."""


def first_timesteps(graph: OperationGraph, timesteps: int) -> FirstTimesteps:
    """Return the forward's operations of a recorded graph."""
    counted = [n for n, phase in enumerate(graph.phases) if phase == "forward"]
    place = {number: index for index, number in enumerate(counted)}
    return FirstTimesteps(
        timesteps=timesteps,
        names=tuple(graph.names[n] for n in counted),
        sources=tuple(tuple(place[s] for s in graph.sources[n] if s in place) for n in counted),
    )
