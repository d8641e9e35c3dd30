"""Caveats of the operations that a model ran on, counted in one of its steps."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.run.caveats.caveat import Case, Caveat
from seqprof.analysis.run.command_again import again
from seqprof.analysis.run.findings import setting
from seqprof.analysis.run.kernels import fused_primitive, kind_of_kernels, operations_per_timestep
from seqprof.analysis.statistics import median
from seqprof.analysis.wording import seconds_in_words
from seqprof.recording import Trial


def kernel_path(case: Case) -> Iterator[Caveat]:
    """On the CPU, recurrent layers do not all run on kernels of one kind."""
    trial = case.trial
    if case.recording.environment.device.is_accelerator or trial.latencies:
        return
    path = _path(trial)
    if path is None:
        return
    yield Caveat(
        kind="kernel_path",
        severity="note",
        text=f"On the CPU {_layer(case)} runs as {path[0]}",
        evidence=f"forward, as dispatched: {path[1]}",
        remedy="do not read a difference between families here as the architectures' own cost",
    )


def _path(trial: Trial) -> tuple[str, str] | None:
    """Return what the recurrence runs as, and what shows it; None where there is none to see."""
    timesteps, _ = trial.workload.sizes
    primitive = fused_primitive(trial.operations)
    if primitive is not None:
        return f"one fused primitive ({primitive})", f"it called {primitive}"
    lengths = trial.operations_by_length
    form = kind_of_kernels(trial.operations, timesteps, trial.depth, lengths)
    if not timesteps or form != "unrolled":
        return None
    per = operations_per_timestep(trial.operations, timesteps, lengths)
    return "a loop over timesteps inside torch", f"it launched {per:.1f} operations per timestep"


def _layer(case: Case) -> str:
    """Name a recurrent layer as the spec has it; else the model."""
    names = {"rnn": "nn.RNN", "lstm": "nn.LSTM", "gru": "nn.GRU"}
    workload, spec = case.trial.workload, case.recording.spec
    if workload.execution != "fused" or workload.family not in names:
        return workload.model
    projected = setting(spec, "model.projection") is not None
    packed = setting(spec, "data.lengths.layout") == "packed"
    return (
        names[workload.family]
        + (" with a projection" if projected else "")
        + (" on packed sequences" if packed else "")
    )


def one_call(case: Case) -> Iterator[Caveat]:
    """A fused recurrent primitive has timesteps that nothing outside it can see."""
    trial, recording = case.trial, case.recording
    primitive = fused_primitive(trial.operations)
    if primitive is None or trial.latencies:
        return
    if trial.workload.family in ("rnn", "lstm", "gru"):
        packed = setting(recording.spec, "data.lengths.layout") == "packed"
        padded = ("data.lengths.layout=padded",) if packed else ()
        remedy = "the same model as cells, timestep by timestep: " + again(
            recording, "model.execution=cell", *padded
        )
    else:
        remedy = "to see timesteps, step through the sequence with torch's cells (nn.LSTMCell …)"
    yield Caveat(
        kind="one_call",
        severity="note",
        text="One call handles the whole sequence: no timestep can be timed by itself",
        evidence=f"the forward called {primitive}",
        remedy=remedy,
    )


def recurrence_of_operators(case: Case) -> Iterator[Caveat]:
    """Timesteps that no module marks, as the profiled pass shows them."""
    made = case.trial.profile
    loops = made.recurrences if made is not None and not case.trial.latencies else ()
    if not loops:
        return
    said = (
        f"{loop.phase}: {loop.period} operators, {loop.repeats} times, every "
        f"{seconds_in_words(median(loop.latency_s))}"
        for loop in loops
    )
    yield Caveat(
        kind="recurrence_of_operators",
        severity="note",
        text="The timesteps run as repeating operators that no module marks: their latency is that "
        "of profiled steps, which are slowed",
        evidence="; ".join(said),
        remedy="put what one timestep does into a module of its own: its calls are then timed in "
        "unprofiled steps",
    )


def sliced(case: Case) -> Iterator[Caveat]:
    yield from sliced_sequence(case.trial)


def unflattened_weights(case: Case) -> Iterator[Caveat]:
    yield from unflattened(case.trial)


def sliced_sequence(trial: Trial, label: str = "", growth: str = "") -> Iterator[Caveat]:
    """``x[:, t]`` in a loop: the backward of each fills a gradient as large as x, T times.

    Args:
        trial: with its operations counted.
        label: of the candidate; empty where there is but one.
        growth: what the times say of it, where several lengths were measured.
    """
    timesteps, _ = trial.workload.sizes
    backward = [count for count in trial.operations if count.phase == "backward"]
    worst = max(backward, key=lambda count: count.sliced, default=None)
    # The last timestep alone may well be indexed; a loop takes all of them.
    if worst is None or not timesteps or worst.sliced < timesteps / 2:
        return
    yield Caveat(
        kind="sliced_sequence",
        severity="warning",
        text=_of(
            label,
            "the backward is quadratic in T, because the loop over timesteps indexes the sequence "
            "(x[:, t]); that is not the architecture's cost",
        ),
        evidence=f"{worst.name} ran {worst.sliced:,} times at T = {timesteps}, each time "
        "filling a gradient as large as the sequence: "
        f"{_bytes_in_words(worst.sliced_bytes)} in a step{growth}",
        remedy="take the timesteps apart once, before the loop: for x_t in x.unbind(1)",
    )


def unflattened(trial: Trial, label: str = "") -> Iterator[Caveat]:
    """Weights of recurrent layers that cuDNN copies together in every forward."""
    layers = trial.unflattened
    if layers:
        yield Caveat(
            kind="unflattened_weights",
            severity="warning",
            text=_of(
                label,
                "the weights of recurrent layers do not lie in one piece, so they are copied "
                "together in every forward",
            ),
            evidence=f"{len(layers)} layers, the first is '{layers[0]}'",
            remedy="call flatten_parameters() on them after moving or changing the model",
        )


def _of(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text[0].upper() + text[1:]


def _bytes_in_words(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"
