"""What an accelerator alone gives cause to say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_recordings import accelerator, change_trial, cpu_cell, workload
from planted_pass import profiled

from seqprof.analysis.run.summary import summarise
from seqprof.recording import Device, Recording

CUDNN_ALONE = {"cuda.matmul": "ieee", "cudnn.conv": "tf32", "cudnn.rnn": "tf32"}
V100 = Device(kind="cuda", name="Tesla V100-SXM2-16GB", index=0, uuid="GPU-1")


def kinds(made: Recording) -> set[str]:
    return {caveat.kind for caveat in summarise(made).caveats}


def fused(device: Device | None = None, switches: dict[str, str] | None = None) -> Recording:
    made = change_trial(accelerator(), workload=workload(execution="fused"))
    environment = replace(
        made.environment,
        device=device or made.environment.device,
        fp32_precision=CUDNN_ALONE if switches is None else switches,
    )
    return replace(made, environment=environment)


def test_a_coarse_cpu_clock_matters_where_the_cpu_is_what_works() -> None:
    assert "coarse_cpu_clock" in kinds(change_trial(cpu_cell(), cpu_clock="process"))
    assert "coarse_cpu_clock" not in kinds(change_trial(accelerator(), cpu_clock="process"))


def test_fp32_that_is_tf32_is_said_with_its_switches() -> None:
    (caveat,) = [c for c in summarise(fused()).caveats if c.kind == "tf32"]
    assert "cudnn.rnn: tf32" in caveat.evidence
    assert "recurrent layers" in caveat.text


@pytest.mark.parametrize(
    "made",
    [
        fused(V100),  # has no TF32, whatever the switch says
        fused(switches=dict.fromkeys(CUDNN_ALONE, "ieee")),
        fused(switches={}),  # an older recording
        replace(accelerator(), environment=fused().environment),  # a loop of cells: cuBLAS
        cpu_cell(),
    ],
)
def test_fp32_that_is_fp32_needs_no_word(made: Recording) -> None:
    assert "tf32" not in kinds(made)


@pytest.mark.parametrize(("busy_s", "said"), [(0.0016, False), (0.0005, True)])
def test_nvml_and_timeline_that_disagree_are_both_shown(busy_s: float, said: bool) -> None:
    """NVML says 22 % of the forward's 7.0 ms."""
    made = profiled(busy_s, 0.009)
    made = replace(made, whole=None, phases=made.phases[:1])
    found = [
        caveat
        for caveat in summarise(change_trial(accelerator(), profile=made)).caveats
        if caveat.kind == "nvml_against_timeline"
    ]
    assert bool(found) is said
    if found:
        assert "NVML 22%" in found[0].evidence
        assert "kernels 7%" in found[0].evidence
