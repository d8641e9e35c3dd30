"""Each artefact is named where it is, and only there."""

from dataclasses import replace
from typing import Any

import example_recordings as examples
from torch import nn

from seqprof.analysis.compare.artefacts import find_artefacts
from seqprof.analysis.run.kernels import kind_of_kernels
from seqprof.measure.trial.assembly import unflattened
from seqprof.recording import (
    Candidate,
    DepthLaw,
    OperationCount,
    PhaseTiming,
    Recording,
    Step,
    StepKind,
    Trial,
)

FUSED = (OperationCount(phase="forward", name="aten::mkldnn_rnn_layer", calls=1),)
UNROLLED = (OperationCount(phase="forward", name="aten::addmm", calls=512),)
WHOLE = (OperationCount(phase="forward", name="aten::bmm", calls=12),)


def trial(step_s: float, timesteps: int = 128) -> Trial:
    phases = {
        name: PhaseTiming(host_s=step_s * share, cpu_s=step_s * share)
        for name, share in (("forward", 0.4), ("backward", 0.6))
    }
    kinds: tuple[StepKind, ...] = ("bare", "bounded")
    steps = tuple(
        Step(
            pair=index,
            kind=kind,
            started_at_s=index * 1.0,
            wall_s=step_s * (1 + 0.001 * (index % 3)),
            phases={} if kind == "bare" else phases,
        )
        for index in range(12)
        for kind in kinds
    )
    return Trial(
        workload=examples.workload(timesteps=timesteps), warmup_wall_s=(step_s,), steps=steps
    )


def spec(layout: str = "padded", name: str = "lstm") -> dict[str, Any]:
    return {"model": {"name": name}, "data": {"lengths": {"layout": layout}}}


def recording(*cases: tuple[Candidate, Trial], threads: int = 2) -> Recording:
    return Recording(
        kind="compare",
        created="2026-11-22T12:00:00+00:00",
        command="seqprof compare a b",
        spec={},
        seed=0,
        environment=examples.environment(threads=threads),
        trials=tuple(trial for _, trial in cases),
        timer_resolution_s=1e-8,
        candidates=tuple(candidate for candidate, _ in cases),
    )


def kinds(found: Recording) -> list[str]:
    return [caveat.kind for caveat in find_artefacts(found)]


def case(label: str, operations: tuple[OperationCount, ...]) -> tuple[Candidate, Trial]:
    return Candidate(label=label, spec=spec(name=label)), replace(trial(0.1), operations=operations)


def test_kinds_of_kernels_come_from_what_was_dispatched() -> None:
    assert kind_of_kernels(FUSED, 128) == "fused"
    assert kind_of_kernels(UNROLLED, 128) == "unrolled"
    assert kind_of_kernels(WHOLE, 128) == "whole_sequence"
    assert kind_of_kernels((), 128) == "unknown"


def test_a_scan_over_a_short_sequence_is_no_unrolled_loop() -> None:
    scan = DepthLaw(timesteps=128, law="12·log2 T + 23", coefficients={"⌈log2 T⌉": 12.0, "1": 23})
    loop = DepthLaw(timesteps=128, law="15·T + 8", coefficients={"T": 15.0, "1": 8.0})
    assert kind_of_kernels(UNROLLED, 128, scan) == "whole_sequence"
    assert kind_of_kernels(UNROLLED, 128, loop) == "unrolled"
    assert kind_of_kernels(UNROLLED, 128, DepthLaw(timesteps=128, reason="no law")) == "unrolled"


def test_fused_against_unrolled_is_named_and_alike_is_not() -> None:
    assert kinds(recording(case("lstm", FUSED), case("gru", UNROLLED))) == ["different_kernels"]
    assert kinds(recording(case("lstm", FUSED), case("attention", WHOLE))) == []
    assert kinds(recording(case("rnn", UNROLLED), case("gru", UNROLLED))) == []


CUDNN_ALONE = {"cuda.matmul": "ieee", "cudnn.conv": "tf32", "cudnn.rnn": "tf32"}


def on_gpu(name: str, switches: dict[str, str], *executions: str) -> Recording:
    made = recording(*(case(f"lstm@{execution}", WHOLE) for execution in executions))
    trials = tuple(
        replace(trial, workload=examples.workload(execution=execution))
        for trial, execution in zip(made.trials, executions, strict=True)
    )
    device = replace(examples.H100, name=name)
    environment = replace(made.environment, device=device, fp32_precision=switches)
    return replace(made, trials=trials, environment=environment)


def test_a_precision_that_differs_is_named_and_one_for_all_is_not() -> None:
    h100 = "NVIDIA H100 80GB HBM3"
    assert kinds(on_gpu(h100, CUDNN_ALONE, "cell", "fused")) == ["different_precision"]
    assert kinds(on_gpu(h100, CUDNN_ALONE, "fused", "fused")) == []
    assert kinds(on_gpu(h100, dict.fromkeys(CUDNN_ALONE, "tf32"), "cell", "fused")) == []
    assert kinds(on_gpu(h100, dict.fromkeys(CUDNN_ALONE, "ieee"), "cell", "fused")) == []
    assert kinds(on_gpu("Tesla V100-SXM2-16GB", CUDNN_ALONE, "cell", "fused")) == []


def test_a_sliced_sequence_is_named_and_a_few_slices_are_not() -> None:
    def sliced(calls: int) -> tuple[OperationCount, ...]:
        name = "aten::select_backward"
        return (
            *UNROLLED,
            OperationCount(
                phase="backward", name=name, calls=500, sliced=calls, sliced_bytes=calls * 2**22
            ),
        )

    assert kinds(recording(case("mine", sliced(128)))) == ["sliced_sequence"]
    assert kinds(recording(case("mine", sliced(3)))) == []
    (caveat,) = find_artefacts(recording(case("mine", sliced(128))))
    assert "512 MiB" in caveat.evidence
    failed = Candidate(label="mine", spec=spec()), trial(0.1, timesteps=4096)
    assert kinds(recording(case("mine", sliced(128)), failed)) == ["sliced_sequence"]


def test_packed_slower_than_padded_is_named_only_where_it_is() -> None:
    def pair(packed_s: float) -> Recording:
        return recording(
            (Candidate(label="padded", spec=spec()), trial(0.1)),
            (Candidate(label="packed", spec=spec("packed")), trial(packed_s)),
        )

    assert kinds(pair(0.15)) == ["packed_slower"]
    assert kinds(pair(0.08)) == []
    other = Candidate(label="gru", spec=spec("packed", name="gru"))
    assert (
        kinds(recording((Candidate(label="a", spec=spec()), trial(0.1)), (other, trial(1)))) == []
    )


def test_more_threads_than_cores_are_named() -> None:
    assert kinds(recording(case("lstm", FUSED), threads=8)) == ["threads"]
    assert kinds(recording(case("lstm", FUSED), threads=2)) == []


def test_unflattened_weights_are_named() -> None:
    candidate, measured = case("lstm", FUSED)
    assert kinds(recording((candidate, replace(measured, unflattened=("rnn",))))) == [
        "unflattened_weights"
    ]


def test_weights_in_one_piece_are_told_from_scattered_ones() -> None:
    lstm = nn.LSTM(4, 4)
    assert unflattened(nn.Sequential(lstm)) == ("0",)
    one = next(lstm.parameters()).data.new_zeros(1000)
    start = 0
    for parameter in lstm.parameters():
        size = parameter.numel()
        parameter.data = one[start : start + size].view(parameter.shape)
        start += size
    assert unflattened(nn.Sequential(lstm)) == ()
