"""Busy and idle: what comes from a dwell, what stays null, and that nothing is mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_recordings import (
    CPU,
    DWELLS,
    H100,
    REPEATS,
    accelerator,
    change_trial,
    cpu_cell,
    nvml_failed,
    workload,
)
from hypothesis import given
from hypothesis import strategies as st
from planted_pass import profiled

from seqprof.analysis.run.dwell import fresh_samples, summarise_dwells
from seqprof.analysis.run.mfu import find_peak, model_flops_utilization
from seqprof.analysis.run.summary import summarise
from seqprof.analysis.statistics import Estimate
from seqprof.recording import Device, Environment, SampleSeries

TIMES = st.lists(st.floats(min_value=0, max_value=100), max_size=30, unique=True)


@given(TIMES, st.floats(0, 50), st.floats(0, 60), st.floats(0, 1))
def test_fresh_samples_lie_wholly_inside(
    times: list[float], start: float, length: float, window: float
) -> None:
    series = SampleSeries(
        metric="m",
        source="s",
        at_s=tuple(sorted(times)),
        value=tuple(sorted(times)),
        window_s=window,
    )
    inside = fresh_samples(series, start, start + length)
    assert set(inside) == {t for t in times if t - window >= start and t <= start + length}


def test_utilization_is_that_of_the_phase_alone() -> None:
    """The samples that reach over a dwell's border read 50 % and must not count."""
    for dwell in summarise_dwells(accelerator().trials[0], 3):
        truth = DWELLS[dwell.phase][2]
        assert dwell.nvml_utilization.value == pytest.approx(truth)
        assert dwell.nvml_utilization.n >= 15
        assert dwell.nvml_utilization.method.startswith("NVML_GPU_UTILIZATION_SAMPLES")


def test_energy_is_per_repetition() -> None:
    for dwell in summarise_dwells(accelerator().trials[0], 3):
        assert dwell.power.value == pytest.approx(212.0)
        assert dwell.energy.value == pytest.approx(212.0 * 2.1 / dwell.repeats)


def test_energy_of_a_counter_that_is_seldom_brought_up_to_date() -> None:
    """Read every 50 ms, brought up to date every 100 ms in steps of 21.2 J: 212 W."""
    trial = accelerator().trials[0]
    dwell = replace(trial.dwells[0], started_at_s=10.03, ended_at_s=12.03, repeats=100)
    at_s = tuple(10 + 0.05 * index for index in range(60))
    counter = tuple(21.2 * int(at / 0.1 + 1e-9) for at in at_s)
    series = SampleSeries(metric="energy_j", source="counter", at_s=at_s, value=counter)
    samples = replace(trial.samples, series=(series,))
    energy = summarise_dwells(replace(trial, dwells=(dwell,), samples=samples), 3)[0].energy
    assert energy.value is not None
    assert energy.value == pytest.approx(212.0 * 0.02)
    assert energy.low is not None
    assert energy.high is not None
    assert energy.low == pytest.approx(energy.value / (1 + 0.1 / 1.9), rel=0.01)
    assert energy.low < energy.value < energy.high


def test_energy_over_less_than_a_second_is_null() -> None:
    trial = accelerator().trials[0]
    short = replace(trial.dwells[0], ended_at_s=trial.dwells[0].started_at_s + 0.9)
    energy = summarise_dwells(replace(trial, dwells=(short,)), 3)[0].energy
    assert energy.value is None
    assert "1 s are needed" in (energy.reason or "")


def test_too_few_samples_are_null_with_their_number() -> None:
    found = summarise_dwells(accelerator().trials[0], 100)[0].nvml_utilization
    assert found.value is None
    assert found.n == 19
    assert "19 fresh samples" in (found.reason or "")
    assert "100 are needed" in (found.reason or "")


def test_what_the_device_lacks_says_which_call_said_so() -> None:
    occupancy = summarise_dwells(accelerator().trials[0], 3)[0].sm_occupancy
    assert occupancy.value is None
    assert occupancy.reason == "nvmlGpmMetricsGet: not supported"


def test_idle_time_by_nvml_is_that_of_one_repetition() -> None:
    """A repetition in the dwell lasts another time than the phase: busy time is what it shares."""
    idle = {entry.phase: entry for entry in summarise(accelerator()).idle}
    forward = idle["forward"]
    assert forward.idle_source == "nvml_utilization"
    assert forward.time.value is not None
    busy_s = 0.22 * 2.1 / REPEATS["forward"]
    assert forward.idle_time.value == pytest.approx(forward.time.value - busy_s)
    assert forward.core_busy_fraction.value == pytest.approx(0.5)
    assert forward.busy_fraction.value is None
    assert forward.busy_fraction.reason == "needs a kernel timeline"
    assert idle["optimizer"].idle_time.value is None
    assert idle["optimizer"].core_busy_fraction.value == pytest.approx(0.5)


def test_the_timeline_tells_idle_without_the_profilers_share() -> None:
    """The profiler stretched the forward from 7.0 to 14 ms; its kernels still take 1.5 ms."""
    made = change_trial(accelerator(), profile=profiled(0.0015, 0.014))
    forward = {entry.phase: entry for entry in summarise(made).idle}["forward"]
    assert forward.time.value is not None
    assert forward.idle_source == "busy_fraction"
    assert forward.busy_fraction.value == pytest.approx(0.0015 / forward.time.value)
    assert forward.busy == forward.busy_fraction
    assert forward.profiled_busy_fraction.value == pytest.approx(0.0015 / 0.014)
    assert forward.idle_time.value == pytest.approx(forward.time.value - 0.0015)
    assert forward.nvml_utilization.value == pytest.approx(0.22)


def test_a_phase_that_the_timeline_lacks_is_told_by_nvml() -> None:
    only_forward = replace(profiled(0.0015, 0.014), phases=profiled(0.0015, 0.014).phases[:1])
    idle = {e.phase: e for e in summarise(change_trial(accelerator(), profile=only_forward)).idle}
    assert idle["backward"].idle_source == "nvml_utilization"
    assert idle["backward"].idle_time.value is not None


def test_without_nvml_idle_is_null_and_not_filled_from_the_cores() -> None:
    for entry in summarise(nvml_failed()).idle:
        assert entry.idle_time.value is None
        assert entry.nvml_utilization.value is None
        assert entry.core_busy_fraction.value is not None


def test_on_a_processor_the_cores_stand_in() -> None:
    for entry in summarise(cpu_cell()).idle:
        assert entry.idle_source == "core_busy_fraction"
        assert entry.core_busy_fraction.value == pytest.approx(0.9)
        assert entry.time.value is not None
        assert entry.idle_time.value == pytest.approx(0.1 * entry.time.value)
        for other in (entry.nvml_utilization, entry.busy_fraction, entry.sm_active):
            assert (other.value, other.reason) == (None, "no accelerator")


STEP = Estimate(value=0.01, low=0.008, high=0.0125, unit="s", method="m", n=20)


CUDNN_ALONE = {"cuda.matmul": "ieee", "cudnn.conv": "tf32", "cudnn.rnn": "tf32"}  # the default
EVERYWHERE = dict.fromkeys(CUDNN_ALONE, "tf32")


def on(device: Device, switches: dict[str, str] | None = None) -> Environment:
    environment = accelerator().environment
    return replace(environment, device=device, fp32_precision=switches or {})


@pytest.mark.parametrize(
    ("execution", "precision", "switches", "peak"),
    [
        ("fused", "fp32", CUDNN_ALONE, 494.7e12),
        ("cell", "fp32", CUDNN_ALONE, 66.9e12),
        ("cell", "fp32", EVERYWHERE, 494.7e12),
        ("fused", "bf16", EVERYWHERE, 989.5e12),
    ],
)
def test_the_peak_is_that_of_the_precision_that_was_used(
    execution: str, precision: str, switches: dict[str, str], peak: float
) -> None:
    load = workload(flops_per_step=10**11, precision=precision, execution=execution)
    found = model_flops_utilization(load, on(H100, switches), STEP, mig=False)
    assert found.value == pytest.approx(10**11 / 0.01 / peak)
    assert ("tf32" in found.method) == (peak == 494.7e12)


def test_model_flops_utilization_of_a_known_device() -> None:
    load = workload(flops_per_step=66_900_000_000, precision="fp32")
    found = model_flops_utilization(load, on(H100), STEP, mig=False)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.08)
    assert found.high == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("device", "precision", "flops", "mig", "reason"),
    [
        (CPU, "fp32", 1, False, "no accelerator"),
        (H100, "fp32", 1, True, "MIG"),
        (H100, "fp32", None, False, "FLOPs are not known"),
        (replace(H100, name="Simulated accelerator"), "fp32", 1, False, "no fp32 peak"),
        (replace(H100, name="Tesla V100-SXM2-16GB"), "bf16", 1, False, "no bf16 peak"),
        (replace(H100, name="NVIDIA GeForce RTX 4090 Laptop GPU"), "fp32", 1, False, "no fp32"),
        (replace(H100, name="NVIDIA H100 NVL"), "fp32", 1, False, "no fp32 peak"),
        (replace(H100, name="NVIDIA A10G"), "fp32", 1, False, "no fp32 peak"),
    ],
)
def test_model_flops_utilization_is_null_with_the_reason(
    device: Device, precision: str, flops: int | None, mig: bool, reason: str
) -> None:
    load = workload(flops_per_step=flops, precision=precision)
    found = model_flops_utilization(load, on(device), STEP, mig=mig)
    assert found.value is None
    assert reason in (found.reason or "")


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989.5e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA GeForce RTX 3090", 71e12),
        ("Tesla T4", None),
    ],
)
def test_names_as_drivers_spell_them(name: str, bf16: float | None) -> None:
    peak = find_peak(name)
    assert peak is not None
    assert peak.bf16 == bf16
