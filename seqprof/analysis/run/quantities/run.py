"""The quantities of a run: one entry each, with how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from seqprof.analysis.quantities import (
    BYTES,
    CHANGE,
    COUNT,
    ENERGY,
    POWER,
    SHARE,
    TIME,
    TIMESTEP_RATE,
    Place,
    Quantity,
    Reader,
    Table,
    Value,
    by_key,
    through,
    whole,
)
from seqprof.analysis.run.dwell import DwellSummary
from seqprof.analysis.run.findings import Findings
from seqprof.analysis.run.idle import PhaseIdle
from seqprof.analysis.run.phases import PhaseSummary
from seqprof.analysis.run.quantities.depth import LAW, Law
from seqprof.analysis.run.quantities.profile import PROFILE, Pass
from seqprof.analysis.run.quantities.timesteps import (
    TIMESTEP_LATENCY_P50,
    TIMESTEP_LATENCY_P95,
    TIMESTEPS,
)
from seqprof.analysis.statistics import Estimate
from seqprof.recording import Trial


@dataclass(frozen=True, slots=True)
class Measured:
    """What a quantity of a run is read from: what was derived, and the trial itself."""

    findings: Findings
    trial: Trial


def _phases(
    read: Callable[[PhaseSummary], Estimate], clock: Callable[[PhaseSummary], str] | None = None
) -> Reader[Measured]:
    def values(run: Measured) -> Iterator[Value]:
        for phase in run.findings.phases:
            place: Place = {"phase": phase.phase}
            yield read(phase), place if clock is None else {**place, "clock": clock(phase)}

    return values


def _in_a_row(run: Measured) -> Iterator[Value]:
    """Without an accelerator there is no queue in which steps could follow each other."""
    if run.findings.dwells:
        yield run.findings.throughput_in_a_row, {}


def _idle(read: Callable[[PhaseIdle], Estimate]) -> Reader[Measured]:
    def values(run: Measured) -> Iterator[Value]:
        for idle in run.findings.idle:
            yield read(idle), {"phase": idle.phase}

    return values


def _dwells(read: Callable[[DwellSummary], Estimate]) -> Reader[Measured]:
    def values(run: Measured) -> Iterator[Value]:
        for dwell in run.findings.dwells:
            yield read(dwell), {"phase": dwell.phase}

    return values


def _findings(run: Measured) -> Findings:
    return run.findings


def _depth(run: Measured) -> Law:
    return run.findings.depth


def _profile(run: Measured) -> Pass:
    return run.findings.profile


# The entries ----------------------------------------------------------------------------------

STEP_TIME = Quantity(
    key="step_time",
    dimension=TIME,
    short="step",
    label="step",
    definition="Wall time of a training step: the median of bare steps.",
    group="step",
    better="smaller",
    prometheus="step_time",
    history="every",
)
THROUGHPUT = Quantity(
    key="throughput",
    dimension=TIMESTEP_RATE,
    short="timesteps/s",
    label="timesteps per second",
    definition="Timesteps trained per second; padding is not counted.",
    group="step",
    better="larger",
    prometheus="throughput",
    history="every",
)
PHASE_TIME = Quantity(
    key="phase_time",
    dimension=TIME,
    short="time",
    label="time of a phase",
    definition="Time of a phase of a step: the median of bare steps, on an accelerator by its own "
    "clock.",
    group="phase",
    better="smaller",
    prometheus="phase_time",
    history="every",
)
OPERATIONS = Quantity(
    key="operations",
    dimension=COUNT,
    short="ops",
    label="operations",
    definition="Tensor operations launched in a phase of one step; views are excluded.",
    group="phase",
    better="smaller",
    prometheus="operations",
    judged="count",
    history="every",
)
PEAK_MEMORY = Quantity(
    key="peak_memory",
    dimension=BYTES,
    short="memory",
    label="peak memory",
    definition="Largest memory in use during a phase: of the allocator on an accelerator, of the "
    "whole process without one.",
    group="phase",
    better="smaller",
    prometheus="peak_memory",
    judged="amount",
    history="every",
)
NVML_UTILIZATION = Quantity(
    key="nvml_utilization",
    dimension=SHARE,
    short="NVML\nutil.",
    label="NVML utilization",
    definition="Share of the driver's sample windows in which any kernel was running, while the "
    "phase alone was repeated (dwell).",
    group="busy",
    prometheus="nvml_utilization",
    judged="amount",
    history="passes",
)
BUSY_FRACTION = Quantity(
    key="busy_fraction",
    dimension=SHARE,
    short="kernel\nbusy",
    label="kernel timeline busy",
    definition="Time in which any kernel, copy or memset runs (kernel timeline of profiled steps) "
    "over the time of the phase in unprofiled steps.",
    group="busy",
    prometheus="kernel_busy",
    judged="amount",
    history="passes",
)
SM_ACTIVE = Quantity(
    key="sm_active",
    dimension=SHARE,
    short="SM\nactive",
    label="SM active",
    definition="Mean share of multiprocessors with a warp resident (NVML GPM), during the dwell.",
    group="busy",
    prometheus="sm_active",
    judged="amount",
)
MODEL_FLOPS_UTILIZATION = Quantity(
    key="model_flops_utilization",
    dimension=SHARE,
    short="model\nFLOPs",
    label="model FLOP/s of peak",
    definition="Analytic FLOP/s of the matrix products over the dense peak in the device's "
    "datasheet for that precision.",
    group="busy",
    prometheus="model_flops_utilization",
    judged="amount",
)
CORE_BUSY_FRACTION = Quantity(
    key="core_busy_fraction",
    dimension=SHARE,
    short="cores\nbusy",
    label="cores busy",
    definition="CPU time of the process over wall time × the threads that torch may use.",
    group="busy",
    prometheus="core_busy",
    judged="amount",
    history="passes",
)
IDLE_TIME = Quantity(
    key="idle_time",
    dimension=TIME,
    short="idle",
    label="idle",
    definition="Time of a phase in which the device, or the processor's cores, are idle.",
    group="busy",
    better="smaller",
    prometheus="idle_time",
    judged="amount",
    history="passes",
)
#: What `diff` compares besides: no report of one run shows it.
STEP_CPU_TIME = Quantity(
    key="step_cpu_time",
    dimension=TIME,
    short="CPU",
    label="processor time of a step",
    definition="CPU time of the process in a step, the sum over its phases: other programs change "
    "it less than they change wall time.",
    group="step",
    better="smaller",
)

#: The quantities of the step, its phases, and how busy each kept the machine.
RUN: Table[Measured] = (
    (STEP_TIME, whole(lambda run: run.findings.step)),
    (THROUGHPUT, whole(lambda run: run.findings.throughput)),
    (
        Quantity(
            key="throughput_in_a_row",
            dimension=TIMESTEP_RATE,
            short="timesteps/s in a row",
            label="timesteps per second, steps in a row",
            definition="Timesteps trained per second where no step is waited for before the next, "
            "as in training on an accelerator; from the dwell on the step.",
            group="step",
            better="larger",
            prometheus="throughput_in_a_row",
        ),
        _in_a_row,
    ),
    (
        Quantity(
            key="perturbation",
            dimension=CHANGE,
            short="perturbation",
            label="perturbation",
            definition="By how much marking timesteps slows a step: the median of the paired "
            "ratios probed / bare, less 1.",
            group="step",
            better="smaller",
            prometheus="perturbation",
            history="every",
        ),
        whole(lambda run: run.findings.perturbation.change),
    ),
    (
        Quantity(
            key="mark_cost",
            dimension=TIME,
            short="mark",
            label="cost of a timestep's marks",
            definition="Host time of the marks of one timestep, measured apart.",
            group="step",
            better="smaller",
        ),
        whole(lambda run: run.findings.perturbation.mark_cost),
    ),
    (
        Quantity(
            key="padding_share",
            dimension=SHARE,
            short="padding",
            label="padding",
            definition="Padded over computed timesteps; packed sequences compute none.",
            group="step",
            better="smaller",
            prometheus="padding",
        ),
        whole(lambda run: run.findings.padding),
    ),
    (PHASE_TIME, _phases(lambda phase: phase.time, lambda phase: phase.clock)),
    (
        Quantity(
            key="phase_share",
            dimension=SHARE,
            short="share",
            label="share of step",
            definition="Time of a phase over that of its step: the median over bare steps. Shares "
            "need not add up to exactly 100 %.",
            group="phase",
            prometheus="phase_share",
        ),
        _phases(lambda phase: phase.share, lambda phase: phase.clock),
    ),
    (
        Quantity(
            key="phase_host_time",
            dimension=TIME,
            short="host",
            label="host time",
            definition="Time that the thread which drives the step spends in a phase.",
            group="phase",
            better="smaller",
            prometheus="phase_host_time",
        ),
        _phases(lambda phase: phase.host_time, lambda phase: "host"),
    ),
    (OPERATIONS, _phases(lambda phase: phase.operations)),
    (PEAK_MEMORY, _phases(lambda phase: phase.peak_memory)),
    (NVML_UTILIZATION, _idle(lambda idle: idle.nvml_utilization)),
    (BUSY_FRACTION, _idle(lambda idle: idle.busy_fraction)),
    (
        Quantity(
            key="profiled_busy_fraction",
            dimension=SHARE,
            short="in the\nprofile",
            label="busy in profiled steps",
            definition="Time in which any kernel, copy or memset runs, over the device window of "
            "the profiled steps, whose host is slowed by the profiler.",
            group="busy",
            prometheus="profiled_busy",
        ),
        _idle(lambda idle: idle.profiled_busy_fraction),
    ),
    (SM_ACTIVE, _idle(lambda idle: idle.sm_active)),
    (MODEL_FLOPS_UTILIZATION, _idle(lambda idle: idle.model_flops_utilization)),
    (CORE_BUSY_FRACTION, _idle(lambda idle: idle.core_busy_fraction)),
    (IDLE_TIME, _idle(lambda idle: idle.idle_time)),
    *through(TIMESTEPS, _findings),
    (
        Quantity(
            key="sm_occupancy",
            dimension=SHARE,
            short="SM\noccupancy",
            label="SM occupancy",
            definition="Warps resident over the most that the multiprocessors hold (NVML GPM), "
            "during the dwell.",
            group="dwell",
            prometheus="sm_occupancy",
        ),
        _dwells(lambda dwell: dwell.sm_occupancy),
    ),
    (
        Quantity(
            key="power",
            dimension=POWER,
            short="power",
            label="power",
            definition="Mean power while the phase alone was repeated.",
            group="dwell",
            prometheus="power",
            judged="amount",
        ),
        _dwells(lambda dwell: dwell.power),
    ),
    (
        Quantity(
            key="energy_per_repetition",
            dimension=ENERGY,
            short="energy\neach",
            label="energy each",
            definition="Energy of one repetition of a phase: the counter's rise during the dwell "
            "over the repetitions.",
            group="dwell",
            better="smaller",
            prometheus="energy",
            judged="amount",
        ),
        _dwells(lambda dwell: dwell.energy),
    ),
    *through(LAW, _depth),
    *through(PROFILE, _profile),
)

#: Those that no table reads: only `diff` compares the first, rows have the others one by one.
_OTHERS = (STEP_CPU_TIME, TIMESTEP_LATENCY_P50, TIMESTEP_LATENCY_P95)
QUANTITIES: Mapping[str, Quantity] = {**by_key(RUN), **{entry.key: entry for entry in _OTHERS}}
