"""Caveats of what a busy machine does to figures: waiting, resemblance, figures that disagree."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.dependence import FEWEST
from seqprof.analysis.host_load import crowding_share, waiting_share
from seqprof.analysis.run.agreement import disagreements
from seqprof.analysis.run.caveats.caveat import Case, Caveat
from seqprof.analysis.statistics import SMALLEST_INTERVAL
from seqprof.recording import HostLoad

#: Time that threads waited for a processor, over the time of the measurement.
HIGH_RUN_DELAY = 0.10


def contended(case: Case) -> Iterator[Caveat]:
    """Threads that wait for a processor: a loop of timesteps waits with each of them."""
    host = case.trial.host
    if host is None:
        return
    yield from _waiting(
        host,
        waiting_share(host),
        "contended",
        "Threads of this process waited for a processor that others had: times are those of this "
        "load, not of the model",
        "--set measure.threads=free takes as many threads as cores are free",
    )


def crowded(host: HostLoad, cores: int) -> Iterator[Caveat]:
    """Threads that wait for one another: the process has more busy ones than there are cores."""
    yield from _waiting(
        host,
        crowding_share(host),
        "crowded",
        "Threads of this process waited for one another: more were busy than there are processors; "
        "no other program had them",
        f"give it fewer threads: --set measure.threads={max(1, cores // 2)}",
    )


def _waiting(host: HostLoad, share: float, kind: str, text: str, remedy: str) -> Iterator[Caveat]:
    if share > HIGH_RUN_DELAY:
        yield Caveat(
            kind=kind,
            severity="warning",
            text=text,
            evidence=f"{share * host.window_s:.2g} s of waiting in {host.window_s:.2g} s "
            f"({share:.0%}, limit {HIGH_RUN_DELAY:.0%}), over all threads",
            remedy=remedy,
        )


def dependent(case: Case) -> Iterator[Caveat]:
    """Steps that resemble their neighbours tell less than their number says."""
    step = case.findings.step
    if step.independent is None or step.n < FEWEST or step.independent > step.n / 2:
        return
    few = step.independent < SMALLEST_INTERVAL
    yield Caveat(
        kind="dependent",
        severity="warning" if few else "note",
        text="Steps resemble their neighbours so much that too few independent ones are left to "
        "know how far to trust the median"
        if few
        else "Steps resemble their neighbours: intervals are wider for it",
        evidence=f"{step.n} steps tell as much as {step.independent:.0f} independent ones",
        remedy="measure longer, or where fewer other programs run: --set measure.pairs="
        f"{2 * step.n}",
    )


def disagreeing(case: Case) -> Iterator[Caveat]:
    """Figures obtained in different ways, which have to agree."""
    for pair in disagreements(case.findings):
        yield Caveat(
            kind="disagreement",
            severity="warning",
            text=f"Two figures that must agree do not: {pair.what}",
            evidence=f"{pair.one} against {pair.other}, beyond their intervals",
            remedy="trust neither alone: measure again where fewer other programs run",
        )
