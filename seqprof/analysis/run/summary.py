"""Recording → Summary: all that reports show, derived anew each time."""

from __future__ import annotations

from dataclasses import dataclass, fields

from seqprof.analysis.run.caveats.accelerator import accelerator_caveats
from seqprof.analysis.run.caveats.caveat import Caveat, by_severity
from seqprof.analysis.run.caveats.every import find_caveats
from seqprof.analysis.run.findings import Findings, find
from seqprof.analysis.run.verdict import Verdict, judge
from seqprof.errors import SeqprofError
from seqprof.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Findings):
    """The quantities, what to beware of, and what they mean in words."""

    caveats: tuple[Caveat, ...]
    verdict: Verdict


def summarise(recording: Recording) -> Summary:
    """Derive the summary of a recording of one trial.

    Raises:
        SeqprofError: the recording holds no trial.
    """
    if not recording.trials:
        raise SeqprofError("the recording holds no trial", "measure again with `seqprof run`")
    trial = recording.trials[0]
    findings = find(recording, trial)
    caveats = by_severity(
        *find_caveats(recording, trial, findings),
        *accelerator_caveats(recording, trial, findings),
    )
    return Summary(
        **{field.name: getattr(findings, field.name) for field in fields(findings)},
        caveats=caveats,
        verdict=judge(recording, findings, caveats),
    )
