"""Caveats of the device and of the instruments that measured."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.run.caveats.caveat import Case, Caveat
from seqprof.analysis.run.dwell import find_series
from seqprof.analysis.run.phases import headline_kind
from seqprof.analysis.wording import ordinal, seconds_in_words

#: Change of a clock frequency from the first to the last sample.
CLOCK_CHANGE = 0.05
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


def _values(case: Case, metric: str) -> list[float]:
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


def throttling(case: Case) -> Iterator[Caveat]:
    masks = [int(value) for value in _values(case, "clock_event_reasons")]
    by_reason = {
        words: sum(bool(mask & bit) for mask in masks)
        for bit, words in THROTTLE_REASONS.items()
        if any(mask & bit for mask in masks)
    }
    if by_reason:
        samples = f"of {len(masks)} samples"
        counts = "; ".join(f"{words}: {n} {samples}" for words, n in by_reason.items())
        yield Caveat(
            kind="throttling",
            severity="warning",
            text="The device held its clocks down",
            evidence=counts,
            remedy="check cooling and the power limit (`nvidia-smi -q -d PERFORMANCE`), or lock "
            "the clocks before comparing runs",
        )


def clocks(case: Case) -> Iterator[Caveat]:
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


def other_processes(case: Case) -> Iterator[Caveat]:
    others = case.trial.samples.other_processes
    if others:
        yield Caveat(
            kind="other_processes",
            severity="warning",
            text="Other processes were on the device",
            evidence=f"{others} besides this one; NVML's utilization includes their kernels",
            remedy="use a free device (CUDA_VISIBLE_DEVICES, or measure.device: cuda:1)",
        )


def no_accelerator(case: Case) -> Iterator[Caveat]:
    device = case.recording.environment.device
    if not device.is_accelerator:
        yield Caveat(
            kind="no_accelerator",
            severity="note",
            text="No GPU found. Busy and idle below are the CPU's",
            evidence=f"measured on {device.name}",
            remedy="busy and idle are those of processor cores; no GPU's times follow from them",
        )


def perturbation(case: Case) -> Iterator[Caveat]:
    marks, kind = case.findings.perturbation, headline_kind(case.findings.step)
    if marks.over_budget and marks.change.value is not None and marks.budget is not None:
        yield Caveat(
            kind="perturbation",
            severity="warning",
            text="Timestep marks slow the probed steps by more than the budget",
            evidence=f"{marks.change.value:.1%} against {marks.budget:.1%}; step times come from "
            f"{kind} steps, phase times from bounded ones, and do not contain it",
            remedy=_cheaper_marks(case),
        )


def _cheaper_marks(case: Case) -> str:
    """What lets marks weigh less; a sequence of T timesteps has no stride above T."""
    stride = 2 * max(case.findings.perturbation.strides, default=1)
    if stride <= case.trial.workload.sizes[0]:
        return f"mark fewer timesteps at once: --set measure.timesteps.stride={stride}"
    return "a mark costs a few µs: they weigh less in longer steps, with a larger batch or model"


def profiled(case: Case) -> Iterator[Caveat]:
    profile = case.findings.profile
    if profile is None or profile.slowdown.value is None or profile.measured.on != "device":
        return
    kind = headline_kind(case.findings.step)
    if profile.slowdown.value > SLOWED_BY_PROFILER:
        yield Caveat(
            kind="profiler_slowed",
            severity="note",
            text="The profiler slowed its steps: idle times of the kernel timeline are too long",
            evidence=f"profiled steps took {profile.slowdown.value:.2f} times as long as "
            f"{kind} ones (limit {SLOWED_BY_PROFILER:g})",
            remedy="trust its busy times and counts; take idle against the "
            f"{kind} step, or from NVML",
        )


def stride(case: Case) -> Iterator[Caveat]:
    strides = [stride for stride in case.findings.perturbation.strides if stride > 1]
    if strides:
        marked = ", ".join(map(ordinal, strides))
        yield Caveat(
            kind="stride",
            severity="note",
            text="Not every timestep was marked in every probed step",
            evidence=f"every {marked} timestep, from an offset that rotates, to stay within the "
            "perturbation budget",
            remedy="for more measurements of each timestep raise measure.pairs, or set "
            "measure.timesteps.stride=1 and accept the perturbation",
        )


def timer(case: Case) -> Iterator[Caveat]:
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


def coarse_cpu_clock(case: Case) -> Iterator[Caveat]:
    if case.recording.environment.device.is_accelerator:
        return  # nobody reads cores there
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


def mark_cost(case: Case) -> Iterator[Caveat]:
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
            remedy="compare timesteps with each other; for the total trust the "
            f"{headline_kind(case.findings.step)} steps",
        )


def misfit(case: Case) -> Iterator[Caveat]:
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
