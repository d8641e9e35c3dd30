"""Recordings as `seqprof run` makes them, built by hand: every number in them is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from seqprof.recording import (
    CallLatency,
    Clock,
    DepthLaw,
    Device,
    DeviceSamples,
    Dwell,
    Environment,
    HostLoad,
    Incident,
    LoopTiming,
    OperationCount,
    Phase,
    PhaseAccount,
    PhaseTiming,
    PrefixPoint,
    Recording,
    SampleSeries,
    Step,
    StepKind,
    TimestepLatency,
    TimestepOperations,
    Trial,
    Workload,
)

LOOP = "body.layers.0.cell"
CPU = Device(kind="cpu", name="AMD EPYC 7B13")
H100 = Device(
    kind="cuda",
    name="NVIDIA H100 80GB HBM3",
    index=0,
    uuid="GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77",
    total_memory_bytes=85_024_112_640,
)

#: Seconds of the phases of a bare step: data, forward, loss, backward, optimizer.
CPU_PHASES: dict[Phase, float] = {
    "data": 0.000_21,
    "forward": 0.0547,
    "loss": 0.0012,
    "backward": 0.0792,
    "optimizer": 0.0021,
}


def environment(device: Device = CPU, **changes: Any) -> Environment:
    """An environment of two cores."""
    made = Environment(
        seqprof="0.1.0",
        python="3.11.9",
        torch="2.13.0",
        platform="Linux-6.1-x86_64",
        cpu="AMD EPYC 7B13",
        cores=2,
        threads=2,
        device=device,
        commit="0123abcd+",
        driver="580.65.06" if device.is_accelerator else None,
        monitor="NVML 13.580.65" if device.is_accelerator else None,
        libraries={"numpy": "2.3.1"},
    )
    return replace(made, **changes)


def workload(**changes: Any) -> Workload:
    """A one-layer LSTM on text."""
    made = Workload(
        model="lstm",
        family="lstm",
        execution="cell",
        parameters=592_384,
        data="text: the standard library's own sources",
        batch_size=16,
        timesteps=64,
        precision="fp32",
        optimizer="adam",
        flops_per_step=3_221_225_472,
    )
    return replace(made, **changes)


def spec(**changes: Any) -> dict[str, Any]:
    """The parts of a spec that analysis reads."""
    made: dict[str, Any] = {
        "model": {"name": "lstm", "execution": "cell", "hidden_size": 256, "layers": 1},
        "data": {"seq_len": 64, "batch_size": 16, "lengths": {"layout": "padded"}},
        "measure": {"timesteps": {"budget": 0.01}, "dwell_samples": 3},
    }
    for path, value in changes.items():
        part = made
        *folders, last = path.split("__")
        for folder in folders:
            part = part.setdefault(folder, {})
        part[last] = value
    return made


def recording(trial: Trial, device: Device = CPU, **changes: Any) -> Recording:
    """A recording of one trial."""
    made = Recording(
        kind="run",
        created="2026-11-22T16:40:00+00:00",
        command="seqprof run sample_configs/lstm.yaml -o run.json",
        spec=spec(),
        seed=0,
        environment=environment(device),
        trials=(trial,),
        timer_resolution_s=1e-9,
    )
    return replace(made, **changes)


def change_trial(made: Recording, **changes: Any) -> Recording:
    """The recording with fields of its trial replaced."""
    return replace(made, trials=(replace(made.trials[0], **changes),))


def pairs(
    phases: dict[Phase, float],
    *,
    count: int = 20,
    noise: float = 0.01,
    busy: float = 0.9,
    perturbation: float = 0.004,
    stride: int | None = 1,
    loops: tuple[str, ...] = (LOOP,),
    device_scale: float | None = None,
    seed: int = 1,
) -> tuple[Step, ...]:
    """Rounds of steps of each kind; bare, bounded and metered ones of a round take as long.

    Args:
        busy: CPU time over wall time of one thread pair.
        perturbation: how much slower a probed step is.
        stride: None makes no probed steps.
        device_scale: device time over host time; None without an accelerator.
    """
    chance = random.Random(seed)
    steps: list[Step] = []
    clock = 3.0
    for pair in range(count):
        kinds: tuple[StepKind, ...] = ("bare", "probed") if pair % 2 == 0 else ("probed", "bare")
        for kind in kinds:
            if kind == "probed" and stride is None:
                continue
            slow = chance.gauss(1.0, noise) * (1.0 + perturbation * (kind == "probed"))
            made = _step(phases, kind, pair, slow, clock, busy, stride, loops, device_scale)
            for step in (made,) if kind == "probed" else _unmarked(made):
                steps.append(replace(step, started_at_s=clock))
                clock += step.wall_s + 0.001
    return tuple(steps)


def _unmarked(step: Step) -> tuple[Step, ...]:
    """A step as one of each kind without marks."""
    bounds = {name: replace(timing, cpu_s=None) for name, timing in step.phases.items()}
    return (
        replace(step, kind="bare", phases={}),
        replace(step, kind="bounded", phases=bounds),
        replace(step, kind="metered"),
    )


def _step(
    phases: dict[Phase, float],
    kind: StepKind,
    pair: int,
    slow: float,
    clock: float,
    busy: float,
    stride: int | None,
    loops: tuple[str, ...],
    device_scale: float | None,
) -> Step:
    timings: dict[str, PhaseTiming] = {
        phase: PhaseTiming(
            host_s=seconds * slow,
            cpu_s=seconds * slow * 2 * busy,
            device_s=None if device_scale is None else seconds * slow * device_scale,
        )
        for phase, seconds in phases.items()
    }
    wall = sum(
        timing.host_s if timing.device_s is None else max(timing.host_s, timing.device_s)
        for timing in timings.values()
    )
    sides: tuple[Literal["forward", "backward"], ...] = ("forward", "backward")
    return Step(
        pair=pair,
        kind=kind,
        started_at_s=clock,
        wall_s=wall,
        phases=timings,
        loops=tuple(
            LoopTiming(
                loop=loop,
                phase=phase,
                host_s=timings[phase].host_s * 0.93 / len(loops),
                device_s=None
                if (device := timings[phase].device_s) is None
                else device * 0.93 / len(loops),
            )
            for phase in sides
            for loop in loops
        )
        if kind == "probed"
        else (),
        stride=stride if kind == "probed" else None,
        loss=5.5 - 0.01 * pair,
        positions=1024,
    )


def latency(
    phase: Literal["forward", "backward"],
    typical_s: float,
    *,
    timesteps: int = 64,
    clock: Clock = "host",
    loop: str = LOOP,
    reverse: bool = False,
    samples: int = 20,
    slow: dict[int, float] | None = None,
    seed: int = 2,
) -> TimestepLatency:
    """Latencies around ``typical_s``, 1 % apart; ``slow`` maps a timestep to its multiple."""
    chance = random.Random(f"{seed}{phase}{clock}{loop}")
    factors = slow or {}
    p50 = [
        round(typical_s * factors.get(t, 1.0) * chance.gauss(1.0, 0.01), 9)
        for t in range(timesteps)
    ]

    def at(scale: float) -> tuple[float, ...]:
        return tuple(float(f"{value * scale:.5g}") for value in p50)

    return TimestepLatency(
        loop=loop,
        phase=phase,
        clock=clock,
        reverse=reverse,
        samples=(samples,) * timesteps,
        mean_s=at(1.0),
        p05_s=at(0.97),
        p25_s=at(0.99),
        p50_s=at(1.0),
        p75_s=at(1.01),
        p95_s=at(1.08),
    )


def accounts(method: Literal["allocator", "resident_set"] = "resident_set") -> tuple[Any, ...]:
    """Operations and memory of the five phases."""
    counted: dict[Phase, tuple[int, int]] = {
        "data": (2, 402_653_184),
        "forward": (1_027, 456_130_560),
        "loss": (3, 457_179_136),
        "backward": (1_861, 489_684_992),
        "optimizer": (9, 489_684_992),
    }
    return tuple(
        PhaseAccount(
            phase=phase, operations=operations, peak_memory_bytes=memory, memory_method=method
        )
        for phase, (operations, memory) in counted.items()
    )


def operations(name: str, calls: int = 1) -> tuple[OperationCount, ...]:
    """What a counted forward launched, and its backward."""
    return (
        OperationCount(phase="forward", name=f"aten::{name}", calls=calls),
        OperationCount(phase="backward", name=f"aten::{name}_backward", calls=calls),
    )


def quiet_host() -> HostLoad:
    """A machine that does nothing else."""
    return HostLoad(
        window_s=7.0,
        process_cpu_s=12.2,
        machine_busy_s=12.4,
        steal_s=0.0,
        involuntary_switches=41,
        load_average_1m=1.9,
    )


def cpu_cell() -> Recording:
    """LSTM cell on the CPU; timestep 40 costs 2.1 times the others in the forward."""
    return recording(
        Trial(
            workload=workload(),
            warmup_wall_s=(0.31, 0.141, 0.138),
            steps=pairs(CPU_PHASES),
            latencies=(
                latency("forward", 0.93 * CPU_PHASES["forward"] / 64, slow={40: 2.1}),
                latency("backward", 0.93 * CPU_PHASES["backward"] / 64),
            ),
            mark_cost_s=1.1e-6,
            depth=DepthLaw(
                timesteps=64,
                depth_ops=968,
                work_ops=2_316,
                law="15·T + 8",
                coefficients={"T": 15.0, "1": 8.0},
                lengths=(4, 5, 6, 8, 12, 16, 17),
            ),
            timestep_operations=(
                TimestepOperations(loop=LOOP, phase="forward", operations=(16,) * 64),
                TimestepOperations(loop=LOOP, phase="backward", operations=(29,) * 64),
            ),
            accounts=accounts(),
            sweep_reason="not needed: the timesteps were measured",
            samples=DeviceSamples(reason="no accelerator"),
            host=quiet_host(),
        )
    )


def cpu_fused() -> Recording:
    """nn.LSTM on the CPU: nothing to mark, so the marginal cost comes from a sweep."""
    chance = random.Random(3)
    phases: dict[Phase, float] = {
        "data": 0.0002,
        "forward": 0.0101,
        "loss": 0.0012,
        "backward": 0.0199,
        "optimizer": 0.0021,
    }
    sweep = tuple(
        PrefixPoint(
            round=round_,
            timesteps=length,
            forward_s=(0.0005 + 150e-6 * length) * chance.gauss(1.0, 0.01),
            backward_s=(0.0007 + 300e-6 * length) * chance.gauss(1.0, 0.01),
            step_s=(0.0047 + 450e-6 * length) * chance.gauss(1.0, 0.01),
        )
        for round_ in range(6)
        for length in (16, 32, 48, 64)
    )
    return recording(
        Trial(
            workload=workload(execution="fused"),
            warmup_wall_s=(0.08, 0.034, 0.0336),
            steps=pairs(phases, stride=None),
            timesteps_reason="no submodule is called once per timestep: one call handles the "
            "whole sequence",
            operations=operations("mkldnn_rnn_layer"),
            accounts=accounts(),
            sweep=sweep,
            samples=DeviceSamples(reason="no accelerator"),
            host=quiet_host(),
            depth=DepthLaw(
                timesteps=64, reason="the model is compiled: its operations are merged into others"
            ),
        ),
        spec=spec(model__execution="fused"),
        command="seqprof run sample_configs/lstm_fused.yaml",
    )


def _ticks(start: float, end: float, period: float) -> tuple[float, ...]:
    return tuple(start + index * period for index in range(int((end - start) / period) + 1))


def _series(
    metric: str,
    source: str,
    value: Callable[[float], float],
    *,
    period: float = 0.1,
    window: float | None = None,
) -> SampleSeries:
    times = _ticks(2.5, 12.0, period)
    return SampleSeries(
        metric=metric,
        source=source,
        at_s=times,
        value=tuple(map(value, times)),
        window_s=window,
    )


#: Start and end of the dwells of `accelerator`, and the utilization that NVML shows in each.
DWELLS: dict[Literal["forward", "backward", "step"], tuple[float, float, float]] = {
    "forward": (5.0, 7.1, 0.22),
    "backward": (7.2, 9.3, 0.92),
    "step": (9.4, 11.5, 0.61),
}
#: Repetitions of each in its 2.1 s; they last a little less than the phases of a whole step.
REPEATS = {"forward": 305, "backward": 225, "step": 123}


def _utilization(at: float) -> float:
    """Utilization over the window that ends at ``at``; wrong where it reaches over a border."""
    for start, end, busy in DWELLS.values():
        if start <= at - 0.166 and at <= end:
            return busy
    return 0.5


def accelerator() -> Recording:
    """LSTM cell on an H100: launch-bound, with dwells, NVML samples and device clocks."""
    phases: dict[Phase, float] = {
        "data": 0.0002,
        "forward": 0.0069,
        "loss": 0.0003,
        "backward": 0.0094,
        "optimizer": 0.0006,
    }
    one, other = 0.93 * phases["forward"] / 64, 0.93 * phases["backward"] / 64
    samples = DeviceSamples(
        series=(
            _series("nvml_utilization", "NVML_GPU_UTILIZATION_SAMPLES", _utilization, window=0.166),
            _series("sm_active", "NVML GPM", lambda at: 0.04 + 0.3 * _utilization(at), window=0.1),
            _series("power_w", "nvmlDeviceGetFieldValues", lambda _: 212.0, window=0.1),
            _series("energy_j", "nvmlDeviceGetTotalEnergyConsumption", lambda at: 212.0 * at),
            _series("sm_clock_hz", "nvmlDeviceGetClockInfo", lambda _: 1.98e9),
            _series("memory_clock_hz", "nvmlDeviceGetClockInfo", lambda _: 2.619e9),
            _series("clock_event_reasons", "nvmlDeviceGetCurrentClocksEventReasons", lambda _: 0.0),
        ),
        latencies=(
            CallLatency(
                call="nvmlDeviceGetUtilizationRates", calls=95, median_s=2.5e-6, maximum_s=8e-5
            ),
        ),
        other_processes=0,
        absent={"sm_occupancy": "nvmlGpmMetricsGet: not supported"},
    )
    return recording(
        Trial(
            workload=workload(),
            warmup_wall_s=(1.9, 0.0181, 0.0180),
            steps=pairs(phases, device_scale=1.02, busy=0.5),
            latencies=(
                latency("forward", one * 1.3),
                latency("forward", one * 1.02, clock="device"),
                latency("backward", other * 1.2),
                latency("backward", other * 1.02, clock="device"),
            ),
            mark_cost_s=4.2e-6,
            accounts=accounts("allocator"),
            sweep_reason="not needed: the timesteps were measured",
            dwells=tuple(
                Dwell(phase=phase, started_at_s=start, ended_at_s=end, repeats=REPEATS[phase])
                for phase, (start, end, _) in DWELLS.items()
            ),
            samples=samples,
            host=quiet_host(),
        ),
        H100,
    )


def nvml_failed() -> Recording:
    """The accelerator's recording where NVML could not be loaded."""
    why = "libnvidia-ml.so.1: driver/library version mismatch"
    return change_trial(
        accelerator(),
        dwells=(),
        samples=DeviceSamples(reason=why),
        incidents=(Incident(kind="nvml_unavailable", detail=why, at_s=0.2),),
    )


def interrupted() -> Recording:
    """Ctrl-C after two pairs and a half."""
    made = cpu_cell()
    return change_trial(
        made,
        steps=made.trials[0].steps[:11],
        incidents=(Incident(kind="interrupted", detail="Ctrl-C", at_s=4.1),),
    )


def nothing_measured() -> Recording:
    """Interrupted in the warm-up: a workload and nothing else."""
    return change_trial(
        interrupted(), warmup_wall_s=(0.3,), steps=(), latencies=(), accounts=(), host=None
    )


def bidirectional() -> Recording:
    """Two layers, both directions: four loops."""
    loops = tuple(f"body.layers.{layer}.{way}" for layer in (0, 1) for way in ("ahead", "back"))
    sides: tuple[Literal["forward", "backward"], ...] = ("forward", "backward")
    made = cpu_cell()
    return change_trial(
        made,
        steps=pairs(CPU_PHASES, loops=loops),
        latencies=tuple(
            latency(
                phase,
                0.93 * CPU_PHASES[phase] / 4 / 64 * (1.0 + 0.1 * index),
                loop=loop,
                reverse=loop.endswith("back"),
            )
            for index, loop in enumerate(loops)
            for phase in sides
        ),
    )


def long() -> Recording:
    """T = 4096 and 50 steps on an accelerator, with a rotating stride."""
    made = accelerator()
    sides: tuple[tuple[Literal["forward", "backward"], Clock], ...] = (
        ("forward", "host"),
        ("forward", "device"),
        ("backward", "host"),
        ("backward", "device"),
    )
    return change_trial(
        made,
        workload=workload(timesteps=4096),
        steps=pairs(CPU_PHASES, count=25, device_scale=1.02, stride=4),
        latencies=tuple(
            latency(phase, 1.234e-5, timesteps=4096, clock=clock, samples=6)
            for phase, clock in sides
        ),
    )


ALL: dict[str, Callable[[], Recording]] = {
    "cpu_cell": cpu_cell,
    "cpu_fused": cpu_fused,
    "accelerator": accelerator,
    "nvml_failed": nvml_failed,
    "interrupted": interrupted,
    "nothing_measured": nothing_measured,
    "bidirectional": bidirectional,
    "long": long,
}
