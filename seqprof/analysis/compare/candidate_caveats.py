"""What happened to the candidates of `compare` and `scale`, and what disturbed all of them."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.host_load import join_loads
from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.caveats.every import host_caveats
from seqprof.analysis.run.caveats.incidents import incident_in_words
from seqprof.analysis.wording import sizes_in_words
from seqprof.recording import Incident, Recording, Workload

_SHORTER = {
    "compare": "run it again with fewer --rounds or a smaller --seq-len",
    "scale": "run it again with fewer points or a smaller --budget",
}


def candidate_caveats(recording: Recording) -> tuple[Caveat, ...]:
    """Return one caveat for each kind of incident of a candidate, and those of the machine."""
    loads = [trial.host for trial in recording.trials if trial.host is not None]
    return (
        *_interrupted(recording),
        *_incidents(recording),
        *host_caveats(join_loads(loads), recording.environment.cores),
    )


def _interrupted(recording: Recording) -> Iterator[Caveat]:
    """All points are interrupted at once."""
    interruptions = [
        i for trial in recording.trials for i in trial.incidents if i.kind == "interrupted"
    ]
    if interruptions:
        yield Caveat(
            kind="interrupted",
            severity="error",
            text="The measuring was interrupted; what was measured until then is shown",
            evidence=interruptions[0].detail,
            remedy=_SHORTER[recording.kind],
        )


def _incidents(recording: Recording) -> Iterator[Caveat]:
    merged: dict[tuple[str, str], list[tuple[Workload, Incident]]] = {}
    for candidate, trial in zip(recording.candidates, recording.trials, strict=True):
        for incident in trial.incidents:
            if incident.kind != "interrupted":
                same = merged.setdefault((candidate.label, incident.kind), [])
                same.append((trial.workload, incident))
    for (label, kind), same in merged.items():
        severity, text, remedy = incident_in_words(kind)
        yield Caveat(
            kind=kind,
            severity=severity,
            text=f"{label}: {text[0].lower()}{text[1:]}",
            evidence=_evidence(same),
            remedy=remedy,
        )


def _evidence(same: list[tuple[Workload, Incident]]) -> str:
    workload, incident = same[0]
    others = {w.sizes for w, _ in same[1:]} - {workload.sizes}
    where = sizes_in_words(workload.timesteps, workload.batch_size)
    sizes = "1 other size" if len(others) == 1 else f"{len(others)} other sizes"
    more = f" (and at {sizes})" if others else ""
    return f"{where}: {incident.detail}{more}"
