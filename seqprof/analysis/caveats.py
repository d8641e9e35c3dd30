"""Every warning that seqprof gives, with its evidence and what to do about it.

A caveat is silent where its cause is absent. Thresholds are the constants below. Add one by
writing a function that yields it and naming the function in ``_CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seqprof.analysis.dwell import find_series
from seqprof.analysis.findings import Findings, setting
from seqprof.analysis.phases import steps_of
from seqprof.analysis.statistics import (
    SMALLEST_INTERVAL,
    coefficient_of_variation,
    drift,
    median,
    median_interval,
    thirds,
)
from seqprof.analysis.wording import seconds_in_words
from seqprof.recording import HostLoad, Incident, Recording, Trial

Severity = Literal["note", "warning", "error"]

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
#: Change of a clock frequency from the first to the last sample.
CLOCK_CHANGE = 0.05
#: First measured and last warm-up step over the median of the later steps, less 1.
WARMUP_EXCESS = 0.20
#: Timer resolution over the latency of a typical timestep.
COARSE_TIMER = 0.01
#: A phase must last so long for a clock that is brought up to date every 1 to 10 ms.
COARSE_CPU_CLOCK_S = 0.1
#: Half of a timestep's marks over the latency of a typical timestep.
HIGH_MARK_COST = 0.05
#: Largest distance of a sweep's medians from its line.
HIGH_MISFIT = 0.10
#: Profiled steps over bare ones.
SLOWED_BY_PROFILER = 1.10
#: Share of computed timesteps that is padding.
HIGH_PADDING = 0.10

#: NVML's clock-event reasons (nvml.h, nvmlClocksEventReason*) in words. Idle, application and
#: display clocks are settings, not causes of slowness, and are left out.
THROTTLE_REASONS = {
    0x04: "power cap reached (software)",
    0x08: "hardware slowdown (temperature or power)",
    0x10: "synchronised with slower devices (sync boost)",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake by the power supply",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """Something that a reader of the numbers must know."""

    kind: str
    severity: Severity
    text: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class _Case:
    recording: Recording
    trial: Trial
    findings: Findings


def find_caveats(recording: Recording, trial: Trial, findings: Findings) -> tuple[Caveat, ...]:
    """Return all caveats of a trial, the gravest first."""
    case = _Case(recording, trial, findings)
    return by_severity(*(caveat for check in _CHECKS for caveat in check(case)))


def by_severity(*found: Caveat) -> tuple[Caveat, ...]:
    """Return the gravest first, else in the order given."""
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda caveat: order.index(caveat.severity)))


# What happened --------------------------------------------------------------------------------

#: kind → severity, what it means, what to do. The incident's own detail is the evidence.
INCIDENTS: dict[str, tuple[Severity, str, str]] = {
    "interrupted": (
        "error",
        "The run was interrupted; what was measured until then is shown",
        "run it again, shorter: --set measure.pairs=6 --set measure.dwell_s=1",
    ),
    "out_of_memory": (
        "error",
        "The device ran out of memory",
        "lower data.batch_size or data.seq_len, or set train.bptt.truncate or train.checkpoint",
    ),
    "step_failed": (
        "error",
        "A training step failed; the steps before it are shown",
        "run the model alone on one batch; on a GPU set CUDA_LAUNCH_BLOCKING=1 to find the place",
    ),
    "hung": (
        "error",
        "It gave no answer and was ended",
        "see what it waits for: a lock, input, another process; or give it less to do",
    ),
    "budget_spent": (
        "warning",
        "The budget was spent before all points were tried",
        "raise --budget, or give fewer or smaller sizes",
    ),
    "gpu_lost": (
        "error",
        "The device was lost during the measurement",
        "look for an Xid message in `dmesg`; the device may need a reset",
    ),
    "compile_failed": (
        "warning",
        "torch.compile failed; the model ran uncompiled",
        "set train.compile: false, or make the model compile on its own first",
    ),
    "compile_timeout": (
        "warning",
        "torch.compile took too long; the model ran uncompiled",
        "raise train.compile_timeout_s or lower data.seq_len: a loop over timesteps is unrolled",
    ),
    "nvml_unavailable": (
        "warning",
        "NVML could not be used: utilization, power and clocks are null",
        "`seqprof doctor` says why and what helps",
    ),
    "nvml_error": (
        "warning",
        "An NVML call failed: what it gives is missing from then on",
        "`seqprof doctor` tries every call; an upgraded driver needs a restart of the container",
    ),
    "nvml_hang": (
        "warning",
        "An NVML call did not return; the sampler was stopped",
        "look at the driver's state with `nvidia-smi` and `dmesg`; other pollers hold its lock",
    ),
    "wrong_pynvml": (
        "warning",
        "Another package provides the module pynvml: NVML was not used",
        "pip uninstall pynvml; pip install nvidia-ml-py",
    ),
    "mig": (
        "note",
        "The device is a MIG slice: NVML gives no utilization for it",
        "use SM activity, or measure on a device without MIG",
    ),
    "dwell_failed": (
        "warning",
        "A phase could not be repeated alone: its NVML utilization is null",
        "lower data.batch_size if memory was short; a model whose graph cannot be kept has none",
    ),
    "sweep_failed": (
        "warning",
        "The sweep over prefix lengths failed: the marginal cost is null",
        "check that the model takes shorter sequences, or set measure.sweep: false",
    ),
    "profile_failed": (
        "warning",
        "The pass under torch.profiler failed: what a kernel timeline gives is null",
        "set measure.profile: false to do without; another profiler on the device takes its place",
    ),
    "profile_unavailable": (
        "warning",
        "There is no pass under torch.profiler: what a kernel timeline gives is null",
        "install a torch that is built with the profiler of this device, or drop --trace",
    ),
    "profile_quality": (
        "warning",
        "The trace of the profiled pass has a defect",
        "profile fewer steps (measure.profile_steps), or shorter ones (data.seq_len)",
    ),
    "trace_not_written": (
        "warning",
        "The trace of the profiled pass could not be written",
        "give --trace a file in a folder with room for it",
    ),
    "marks_failed": (
        "warning",
        "Timesteps could not be marked",
        "name the module that is called once per timestep: measure.timesteps.module",
    ),
    "loss_not_finite": (
        "warning",
        "The training diverged: the loss is no longer a number; times are still measured",
        "lower train.learning_rate or set train.clip_norm; NaN may take other paths than numbers",
    ),
    "slow_path": (
        "warning",
        "The model's library took a slow path: another implementation of it can be faster",
        "install what the library names, or read these times as those of its reference code only",
    ),
    "few_pairs": (
        "warning",
        "Few pairs of steps were measured: intervals are wide or missing",
        "raise measure.max_s, or make a step shorter: data.seq_len, data.batch_size",
    ),
}


def incident_in_words(kind: str) -> tuple[Severity, str, str]:
    """Return severity, what a kind of incident means and what to do; of unknown ones too."""
    unknown: tuple[Severity, str, str] = (
        "warning",
        kind.replace("_", " ").capitalize(),
        "see the evidence; measure again",
    )
    return INCIDENTS.get(kind, unknown)


def _incidents(case: _Case) -> Iterator[Caveat]:
    merged: dict[tuple[str, str], list[Incident]] = {}
    for incident in case.trial.incidents:
        merged.setdefault((incident.kind, incident.detail), []).append(incident)
    for (kind, detail), same in merged.items():
        severity, text, remedy = incident_in_words(kind)
        first = same[0].at_s
        at = f" (at {first:.1f} s)" if first is not None else ""
        times = f" ({len(same)} times)" if len(same) > 1 else ""
        yield Caveat(
            kind=kind, severity=severity, text=text, evidence=detail + at + times, remedy=remedy
        )


def _few_steps(case: _Case) -> Iterator[Caveat]:
    bare = case.findings.header.bare_steps
    told = {"few_pairs", "interrupted"} & {incident.kind for incident in case.trial.incidents}
    if bare < SMALLEST_INTERVAL and not told:
        yield _incident("few_pairs", f"{bare} bare steps; an interval needs {SMALLEST_INTERVAL}")


def _cut_dwells(case: _Case) -> Iterator[Caveat]:
    cut = [f"{dwell.phase}: {dwell.reason}" for dwell in case.trial.dwells if dwell.reason]
    if cut:
        yield _incident("dwell_failed", "; ".join(cut))


def _mig(case: _Case) -> Iterator[Caveat]:
    if case.trial.samples.mig and not any(i.kind == "mig" for i in case.trial.incidents):
        yield _incident("mig", case.recording.environment.device.name)


def _incident(kind: str, evidence: str) -> Caveat:
    severity, text, remedy = INCIDENTS[kind]
    return Caveat(kind=kind, severity=severity, text=text, evidence=evidence, remedy=remedy)


# Noise ----------------------------------------------------------------------------------------


def _walls(case: _Case) -> list[float]:
    return [step.wall_s for step in steps_of(case.trial, "bare")]


def _high_variation(case: _Case) -> Iterator[Caveat]:
    variation = coefficient_of_variation(_walls(case))
    if variation is not None and variation > HIGH_CV:
        yield Caveat(
            kind="high_variation",
            severity="warning",
            text="Step times vary much",
            evidence=f"coefficient of variation {variation:.0%} over {len(_walls(case))} "
            f"bare steps (limit {HIGH_CV:.0%})",
            remedy="close other programs, fix measure.threads, raise measure.pairs",
        )


def _drift(case: _Case) -> Iterator[Caveat]:
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


def _warmup(case: _Case) -> Iterator[Caveat]:
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


def _host(case: _Case) -> Iterator[Caveat]:
    yield from host_caveats(case.trial.host, case.recording.environment.cores)


def host_caveats(host: HostLoad | None, cores: int) -> Iterator[Caveat]:
    """Tell what else the machine did meanwhile; ``cores`` are those this process may use."""
    if host is not None and host.window_s > 0.0:
        available = host.window_s * cores
        yield from _switches(host)
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
    if host.machine_busy_s is None:
        return
    others = host.machine_busy_s - host.process_cpu_s
    if others / available > HIGH_OTHER_LOAD:
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


def _threads(case: _Case) -> Iterator[Caveat]:
    environment = case.recording.environment
    if environment.threads > environment.cores:
        yield Caveat(
            kind="threads",
            severity="warning",
            text="torch uses more threads than there are cores",
            evidence=f"{environment.threads} threads on {environment.cores} cores",
            remedy=f"--set measure.threads={environment.cores}",
        )


# The device -----------------------------------------------------------------------------------


def _values(case: _Case, metric: str) -> list[float]:
    """Return the samples taken while steps or dwells ran; an idle device clocks down."""
    series = find_series(case.trial.samples, metric)
    spans: list[tuple[float, float]] = []
    if case.trial.steps:
        last = case.trial.steps[-1]
        spans = [(case.trial.steps[0].started_at_s, last.started_at_s + last.wall_s)]
    spans += [(dwell.started_at_s, dwell.ended_at_s) for dwell in case.trial.dwells]
    if series is None:
        return []
    return [
        value
        for at, value in zip(series.at_s, series.value, strict=True)
        if any(start <= at <= end for start, end in spans)
    ]


def _throttling(case: _Case) -> Iterator[Caveat]:
    masks = [int(value) for value in _values(case, "clock_event_reasons")]
    found = {
        words: sum(bool(mask & bit) for mask in masks)
        for bit, words in THROTTLE_REASONS.items()
        if any(mask & bit for mask in masks)
    }
    if found:
        counts = "; ".join(f"{words}: {n} of {len(masks)} samples" for words, n in found.items())
        yield Caveat(
            kind="throttling",
            severity="warning",
            text="The device held its clocks down",
            evidence=counts,
            remedy="check cooling and the power limit (`nvidia-smi -q -d PERFORMANCE`), or lock "
            "the clocks before comparing runs",
        )


def _clocks(case: _Case) -> Iterator[Caveat]:
    for metric, name in (("sm_clock_hz", "SM clock"), ("memory_clock_hz", "memory clock")):
        values = _values(case, metric)
        if len(values) < 2 or values[0] <= 0.0:
            continue
        change = values[-1] / values[0] - 1.0
        if abs(change) > CLOCK_CHANGE:
            yield Caveat(
                kind="clock_changed",
                severity="warning",
                text=f"The {name} differed between start and end of the measurement",
                evidence=f"{values[0] / 1e6:.0f} MHz, then {values[-1] / 1e6:.0f} MHz "
                f"({change:+.0%})",
                remedy="raise measure.warmup, or lock the clocks (`nvidia-smi --lock-gpu-clocks`)",
            )


def _other_processes(case: _Case) -> Iterator[Caveat]:
    others = case.trial.samples.other_processes
    if others:
        yield Caveat(
            kind="other_processes",
            severity="warning",
            text="Other processes were on the device",
            evidence=f"{others} besides this one; NVML's utilization includes their kernels",
            remedy="use a free device (CUDA_VISIBLE_DEVICES, or measure.device: cuda:1)",
        )


def _no_accelerator(case: _Case) -> Iterator[Caveat]:
    device = case.recording.environment.device
    if not device.is_accelerator:
        yield Caveat(
            kind="no_accelerator",
            severity="note",
            text="No accelerator: the processor stands in for it",
            evidence=f"measured on {device.name}",
            remedy="busy and idle are those of processor cores; no GPU's times follow from them",
        )


# The instruments ------------------------------------------------------------------------------


def _perturbation(case: _Case) -> Iterator[Caveat]:
    found = case.findings.perturbation
    if found.over_budget and found.change.value is not None and found.budget is not None:
        yield Caveat(
            kind="perturbation",
            severity="warning",
            text="Timestep marks slow the probed steps by more than the budget",
            evidence=f"{found.change.value:.1%} against {found.budget:.1%}; step and phase times "
            "come from bare steps and do not contain it",
            remedy="mark fewer timesteps at once: --set measure.timesteps.stride="
            f"{2 * max(found.strides, default=1)}",
        )


def _profiled(case: _Case) -> Iterator[Caveat]:
    profile = case.findings.profile
    if profile is None or profile.slowdown.value is None or profile.measured.on != "device":
        return
    if profile.slowdown.value > SLOWED_BY_PROFILER:
        yield Caveat(
            kind="profiler_slowed",
            severity="note",
            text="The profiler slowed its steps: idle times of the kernel timeline are too long",
            evidence=f"profiled steps took {profile.slowdown.value:.2f} times as long as bare ones "
            f"(limit {SLOWED_BY_PROFILER:g})",
            remedy="trust its busy times and counts; take idle against the bare step, or from NVML",
        )


def _stride(case: _Case) -> Iterator[Caveat]:
    strides = [stride for stride in case.findings.perturbation.strides if stride > 1]
    if strides:
        marked = ", ".join(map(str, strides))
        yield Caveat(
            kind="stride",
            severity="note",
            text="Not every timestep was marked in every probed step",
            evidence=f"every {marked}th timestep, from an offset that rotates, to stay within the "
            "perturbation budget",
            remedy="for more measurements of each timestep raise measure.pairs, or set "
            "measure.timesteps.stride=1 and accept the perturbation",
        )


def _timer(case: _Case) -> Iterator[Caveat]:
    typical = [
        loop.p50.value for loop in case.findings.loops if loop.clock == "host" and loop.p50.value
    ]
    resolution = case.recording.timer_resolution_s
    if typical and resolution > COARSE_TIMER * min(typical):
        yield Caveat(
            kind="coarse_timer",
            severity="warning",
            text="The timer is coarse against a timestep",
            evidence=f"resolution {resolution * 1e9:.0f} ns, typical timestep "
            f"{seconds_in_words(min(typical))} (limit {COARSE_TIMER:.0%})",
            remedy="read medians over many timesteps only, or raise data.batch_size",
        )


def _coarse_cpu_clock(case: _Case) -> Iterator[Caveat]:
    short = [
        phase.phase
        for phase in case.findings.phases
        if phase.host_time.value is not None and phase.host_time.value < COARSE_CPU_CLOCK_S
    ]
    if case.trial.cpu_clock == "process" and short:
        yield Caveat(
            kind="coarse_cpu_clock",
            severity="note",
            text="Cores busy is blurred over neighbouring phases where they are short",
            evidence="CPU time is from the process's clock, which the system brings up to date "
            f"every few milliseconds; below {seconds_in_words(COARSE_CPU_CLOCK_S)}: "
            + ", ".join(short),
            remedy="read it for the whole step, or run with fewer threads (measure.threads): of "
            "a process with few, each thread's clock is read",
        )


def _mark_cost(case: _Case) -> Iterator[Caveat]:
    cost = case.findings.perturbation.mark_cost.value
    typical = [loop.p50.value for loop in case.findings.loops if loop.clock == "host"]
    known = [value for value in typical if value]
    if cost is not None and known and cost / 2 > HIGH_MARK_COST * min(known):
        yield Caveat(
            kind="mark_cost",
            severity="note",
            text="The marks themselves are a notable part of a timestep's latency",
            evidence=f"one timestep's marks cost {seconds_in_words(cost, 2)}; each backward "
            f"latency contains about half of it (typical timestep: {seconds_in_words(min(known))})",
            remedy="compare timesteps with each other; for the total trust the bare steps",
        )


def _misfit(case: _Case) -> Iterator[Caveat]:
    bad = [m for m in case.findings.marginal if (m.misfit or 0.0) > HIGH_MISFIT]
    if bad:
        worst = max(bad, key=lambda m: m.misfit or 0.0)
        yield Caveat(
            kind="not_linear",
            severity="note",
            text="Time does not grow linearly with T: the marginal cost is an average slope",
            evidence=f"{worst.phase}: {worst.misfit:.0%} from the line, T = {worst.shortest} to "
            f"{worst.longest} (limit {HIGH_MISFIT:.0%})",
            remedy="read it as the mean price of a timestep within that range only",
        )


# The workload ---------------------------------------------------------------------------------


def _launch_bound(case: _Case) -> Iterator[Caveat]:
    bound = [found for found in case.findings.launch_bound if found.holds]
    if bound:
        worst = max(bound, key=lambda found: found.share)
        yield Caveat(
            kind="launch_bound",
            severity="warning",
            text="The timesteps are launch-bound: the device waits for the host",
            evidence=f"{worst.loop} {worst.phase}: host {seconds_in_words(worst.host_s)} against "
            f"device {seconds_in_words(worst.device_s)}; so in {worst.share:.0%} of the timesteps",
            remedy="use the fused form (model.execution: fused), a larger batch, or CUDA graphs",
        )


def _kernel_path(case: _Case) -> Iterator[Caveat]:
    """On the CPU, the families do not run on kernels of one kind."""
    workload = case.trial.workload
    on_cpu = not case.recording.environment.device.is_accelerator
    family = workload.family
    if not on_cpu or workload.execution != "fused" or family not in ("rnn", "lstm", "gru"):
        return
    packed = setting(case.recording.spec, "data.lengths.layout") == "packed"
    projected = setting(case.recording.spec, "model.projection") is not None
    fused = family == "lstm" and not packed and not projected
    path = "one fused oneDNN primitive" if fused else "a loop over timesteps inside torch"
    module = {"rnn": "nn.RNN", "lstm": "nn.LSTM", "gru": "nn.GRU"}[family]
    yield Caveat(
        kind="kernel_path",
        severity="note",
        text=f"On the CPU {module}{' with a projection' if projected else ''}"
        f"{' on packed sequences' if packed else ''} runs as {path}",
        evidence="nn.LSTM on padded sequences has a fused primitive there; nn.GRU, nn.RNN, "
        "projections and packed sequences have none",
        remedy="do not read a difference between families here as the architectures' own cost",
    )


def _padding(case: _Case) -> Iterator[Caveat]:
    share = case.findings.padding.value
    if share is not None and share > HIGH_PADDING:
        packed = case.trial.workload.execution == "fused"
        yield Caveat(
            kind="padding",
            severity="note",
            text="Much of what is computed is padding",
            evidence=f"{share:.0%} of the computed timesteps (limit {HIGH_PADDING:.0%})",
            remedy="put sequences of similar length into a batch"
            + (
                ", or try --set data.lengths.layout=packed, which can also be slower"
                if packed
                else ""
            ),
        )


def _packed(case: _Case) -> Iterator[Caveat]:
    if setting(case.recording.spec, "data.lengths.layout") == "packed":
        yield Caveat(
            kind="packed",
            severity="note",
            text="Sequences are packed: no padding is computed, but packing has its own cost",
            evidence="packed sequences were seen 1.1 to 2.2 times slower at equal lengths",
            remedy="compare with --set data.lengths.layout=padded",
        )


_CHECKS: tuple[Callable[[_Case], Iterator[Caveat]], ...] = (
    _incidents,
    _few_steps,
    _cut_dwells,
    _mig,
    _high_variation,
    _drift,
    _warmup,
    _host,
    _threads,
    _throttling,
    _clocks,
    _other_processes,
    _perturbation,
    _profiled,
    _timer,
    _coarse_cpu_clock,
    _mark_cost,
    _launch_bound,
    _no_accelerator,
    _stride,
    _misfit,
    _kernel_path,
    _padding,
    _packed,
)
