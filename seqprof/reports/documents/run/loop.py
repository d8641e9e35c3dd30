"""What a foreign training loop is made of."""

from __future__ import annotations

from seqprof.analysis.loop.words import iteration_in_words, timesteps_in_words
from seqprof.recording import ForeignLoop, Trial
from seqprof.reports.document import Facts, Prose, Section


def loop_sections(trial: Trial) -> list[Section]:
    """Return the section on the loop; none for a workload that seqprof built itself."""
    if trial.loop is None:
        return []
    return [
        Section(
            title="The loop",
            blocks=[Facts(pairs=_facts(trial.loop)), *_unknown(trial.loop)],
        )
    ]


def _facts(loop: ForeignLoop) -> list[tuple[str, str]]:
    known = [
        ("iteration", iteration_in_words(loop)),
        ("modules", " + ".join(loop.roots)),
        ("timesteps", timesteps_in_words(loop)),
        ("optimizers", " + ".join(loop.optimizers)),
        ("ended", "" if loop.ended == "complete" else loop.ended),
    ]
    return [(name, value) for name, value in known if value]


def _unknown(loop: ForeignLoop) -> list[Prose]:
    if not loop.unknown:
        return []
    return [Prose(lines=[f"Not known: {sentence}." for sentence in loop.unknown], tone="quiet")]
