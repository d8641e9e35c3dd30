"""Every warning that seqprof gives, with its evidence and what to do about it.

A caveat is silent where its cause is absent. Thresholds are the constants below. Add one by
writing a function that yields it and naming the function in ``_CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seqprof.analysis.run.caveats.attached import of_foreign_loop
from seqprof.analysis.run.caveats.caveat import Case, Caveat, by_severity
from seqprof.analysis.run.caveats.dependence import contended, crowded, dependent, disagreeing
from seqprof.analysis.run.caveats.device import (
    clocks,
    coarse_cpu_clock,
    mark_cost,
    misfit,
    no_accelerator,
    other_processes,
    perturbation,
    profiled,
    stride,
    throttling,
    timer,
)
from seqprof.analysis.run.caveats.incidents import cut_dwells, few_steps, incidents, mig
from seqprof.analysis.run.caveats.kernels import (
    kernel_path,
    one_call,
    recurrence_of_operators,
    sliced,
    unflattened_weights,
)
from seqprof.analysis.run.caveats.workload import (
    compiled,
    launch_bound,
    memory_grows,
    packed,
    padding,
)
from seqprof.analysis.run.findings import Findings
from seqprof.analysis.run.phases import headline_kind, headline_steps
from seqprof.analysis.statistics import (
    coefficient_of_variation,
    drift,
    median,
    median_interval,
    thirds,
)
from seqprof.recording import HostLoad, Recording, Trial

#: Standard deviation of bare steps over their mean.
HIGH_CV = 0.10
#: Change of the median from the first to the last third of the bare steps.
HIGH_DRIFT = 0.05
#: Involuntary context switches per second of measurement.
HIGH_SWITCH_RATE = 25.0
#: Stolen CPU time over the time of all cores of this process.
HIGH_STEAL = 0.01
#: CPU time of other processes over the time of all cores of this process.
HIGH_OTHER_LOAD = 0.10
#: First measured and last warm-up step over the median of the later steps, less 1.
WARMUP_EXCESS = 0.20


def find_caveats(recording: Recording, trial: Trial, findings: Findings) -> tuple[Caveat, ...]:
    """Return all caveats of a trial, the gravest first."""
    case = Case(recording, trial, findings)
    caveats = [caveat for check in _CHECKS for caveat in check(case)]
    if trial.loop is not None:
        caveats = [of_foreign_loop(case, caveat) for caveat in caveats]
    return by_severity(*caveats)


# Noise ----------------------------------------------------------------------------------------


def _walls(case: Case) -> list[float]:
    return [step.wall_s for step in headline_steps(case.trial)]


def _high_variation(case: Case) -> Iterator[Caveat]:
    variation = coefficient_of_variation(_walls(case))
    if variation is not None and variation > HIGH_CV:
        yield Caveat(
            kind="high_variation",
            severity="warning",
            text="Step times vary much",
            evidence=f"coefficient of variation {variation:.0%} over {len(_walls(case))} "
            f"{headline_kind(case.findings.step)} steps (limit {HIGH_CV:.0%})",
            remedy="close other programs, fix measure.threads, raise measure.pairs",
        )


def _drift(case: Case) -> Iterator[Caveat]:
    walls = _walls(case)
    change, ends = drift(walls), thirds(walls)
    if change is None or ends is None or abs(change) <= HIGH_DRIFT or not _apart(*ends):
        return
    yield Caveat(
        kind="drift",
        severity="warning",
        text=f"Steps became {'slower' if change > 0 else 'faster'} during the measurement",
        evidence=f"median of the last third {change:+.0%} against the first "
        f"(limit {HIGH_DRIFT:.0%})",
        remedy="raise measure.warmup; look for a device that gets hot, or load that comes and goes",
    )


def _apart(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two groups differ by more than the intervals of their medians (else their ranges)."""
    low_a, high_a = median_interval(a) or (min(a), max(a))
    low_b, high_b = median_interval(b) or (min(b), max(b))
    return high_a < low_b or high_b < low_a


def _warmup(case: Case) -> Iterator[Caveat]:
    walls, warm = _walls(case), case.trial.warmup_wall_s
    if len(walls) < 4 or not warm:
        return
    later = median(walls[1:])
    excess = min(walls[0], warm[-1]) / later - 1.0
    if excess > WARMUP_EXCESS:
        yield Caveat(
            kind="warmup_not_over",
            severity="warning",
            text="The warm-up was not over when the measurement began",
            evidence=f"the last warm-up step and the first measured one took {excess:+.0%} "
            "or more against the later ones",
            remedy=f"raise measure.warmup (now {len(warm)})",
        )


# The host -------------------------------------------------------------------------------------


def _host(case: Case) -> Iterator[Caveat]:
    yield from host_caveats(case.trial.host, case.recording.environment.cores)


def host_caveats(host: HostLoad | None, cores: int) -> Iterator[Caveat]:
    """Tell what else the machine did meanwhile; ``cores`` are those this process may use."""
    if host is not None and host.window_s > 0.0:
        available = host.window_s * cores
        yield from _switches(host)
        yield from crowded(host, cores)
        yield from _steal(host, available)
        yield from _other_load(host, available)


def _switches(host: HostLoad) -> Iterator[Caveat]:
    rate = (host.involuntary_switches or 0) / host.window_s
    if rate > HIGH_SWITCH_RATE:
        yield Caveat(
            kind="involuntary_switches",
            severity="warning",
            text="The system took the processor away from this process often",
            evidence=f"{host.involuntary_switches} involuntary context switches, {rate:.0f} per "
            f"second (limit {HIGH_SWITCH_RATE:.0f})",
            remedy="lower measure.threads below the number of cores, or stop other programs",
        )


def _steal(host: HostLoad, available: float) -> Iterator[Caveat]:
    share = (host.steal_s or 0.0) / available
    if share > HIGH_STEAL:
        yield Caveat(
            kind="steal",
            severity="warning",
            text="The hypervisor gave processor time to other machines",
            evidence=f"{host.steal_s:.2f} s stolen, {share:.1%} of the cores' time "
            f"(limit {HIGH_STEAL:.0%})",
            remedy="measure on a dedicated machine, or several times at different hours",
        )


def _other_load(host: HostLoad, available: float) -> Iterator[Caveat]:
    others = host.others_s
    if others is not None and others / available > HIGH_OTHER_LOAD:
        average = (
            f"; load average {host.load_average_1m:.1f}" if host.load_average_1m is not None else ""
        )
        yield Caveat(
            kind="other_load",
            severity="warning",
            text="Other processes used the processor during the measurement",
            evidence=f"{others / host.window_s:.1f} cores busy with others on average, "
            f"{others / available:.0%} of what this process may use{average}",
            remedy="stop them, or pin this process to free cores with `taskset`",
        )


def _threads(case: Case) -> Iterator[Caveat]:
    environment = case.recording.environment
    if environment.threads > environment.cores:
        yield Caveat(
            kind="threads",
            severity="warning",
            text="torch uses more threads than there are cores",
            evidence=f"{environment.threads} threads on {environment.cores} cores",
            remedy=f"--set measure.threads={environment.cores}",
        )


_CHECKS: tuple[Callable[[Case], Iterator[Caveat]], ...] = (
    incidents,
    few_steps,
    cut_dwells,
    mig,
    _high_variation,
    _drift,
    _warmup,
    _host,
    contended,
    dependent,
    disagreeing,
    _threads,
    throttling,
    clocks,
    other_processes,
    perturbation,
    profiled,
    timer,
    coarse_cpu_clock,
    mark_cost,
    launch_bound,
    no_accelerator,
    stride,
    misfit,
    kernel_path,
    one_call,
    recurrence_of_operators,
    sliced,
    unflattened_weights,
    memory_grows,
    compiled,
    padding,
    packed,
)
