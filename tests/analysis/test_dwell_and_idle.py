"""Busy and idle: what comes from a dwell, what stays null, and that nothing is mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_recordings import (
    CPU,
    DWELLS,
    H100,
    accelerator,
    cpu_cell,
    nvml_failed,
    workload,
)
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.dwell import fresh_samples, summarise_dwells
from seqprof.analysis.mfu import find_peak, model_flops_utilization
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import summarise
from seqprof.recording import SampleSeries

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
        assert dwell.energy.value == pytest.approx(212.0 * 2.1 / 300)


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


def test_idle_time_of_an_accelerator_comes_from_nvml_only() -> None:
    idle = {entry.phase: entry for entry in summarise(accelerator()).idle}
    forward = idle["forward"]
    assert forward.idle_source == "nvml_utilization"
    assert forward.time.value is not None
    assert forward.idle_time.value == pytest.approx(forward.time.value * 0.78)
    assert forward.core_busy_fraction.value == pytest.approx(0.5)
    assert forward.busy_fraction.value is None
    assert forward.busy_fraction.reason == "needs a kernel timeline"
    assert idle["optimizer"].idle_time.value is None
    assert idle["optimizer"].core_busy_fraction.value == pytest.approx(0.5)


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


def test_model_flops_utilization_of_a_known_device() -> None:
    load = workload(flops_per_step=66_900_000_000, precision="fp32")
    found = model_flops_utilization(load, H100, STEP, mig=False)
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
    device: object, precision: str, flops: int | None, mig: bool, reason: str
) -> None:
    load = workload(flops_per_step=flops, precision=precision)
    found = model_flops_utilization(load, device, STEP, mig=mig)  # type: ignore[arg-type]
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
