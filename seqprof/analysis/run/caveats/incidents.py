"""What happened during a run that should not have: each kind in words, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.run.caveats.caveat import Case, Caveat, Severity
from seqprof.analysis.run.phases import headline_kind
from seqprof.analysis.statistics import (
    SMALLEST_INTERVAL,
)
from seqprof.recording import Incident

#: kind → severity, what it means, what to do. The incident's own detail is the evidence.
INCIDENTS: dict[str, tuple[Severity, str, str]] = {
    "layout_doubtful": (
        "warning",
        "Where time is in your batches can be read in two ways, and every figure depends on it",
        "say which dimension is T: --set data.time_dim=0 for [T, B], 1 for [B, T], 2 for [B, ·, T]",
    ),
    "layout_assumed": (
        "note",
        "Nothing tells where time is in your batches; the usual layout is assumed",
        "say which dimension is T: --set data.time_dim=0 for [T, B], 1 for [B, T], 2 for [B, ·, T]",
    ),
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
    "own_fault": (
        "error",
        "seqprof itself failed; what was measured before it is shown",
        "report it with the config and the text of `seqprof doctor`",
    ),
    "device_failed": (
        "error",
        "The device reported an error that stays; nothing could be measured after it",
        "look for an Xid message in `dmesg`; CUDA_LAUNCH_BLOCKING=1 names the place",
    ),
    "killed": (
        "error",
        "Its process ended",
        "run it alone with `seqprof run`, and look into `dmesg` for what ended it",
    ),
    "not_built": (
        "error",
        "It could not be built as its spec says",
        "correct what is named, or leave the candidate out",
    ),
    "process_changed": (
        "warning",
        "The model changed settings of the process it is measured in; steps before and after "
        "that are not alike",
        "set them in the spec (measure.threads, train.precision), or before the model is built",
    ),
    "counting_failed": (
        "warning",
        "Operations and memory could not be counted",
        "a model that does not run under torch's dispatch modes has no counts; times are not "
        "touched by it",
    ),
    "bounds_failed": (
        "warning",
        "Steps fail with clocks at their phases: there are no times of phases",
        "report it with the model: a step must bear a clock read between its phases",
    ),
    "hung": (
        "error",
        "It gave no answer and was ended",
        "see what it waits for: a lock, input, another process; or give it less to do",
    ),
    "cut_short": (
        "warning",
        "The time for this part was over before all of it was measured",
        "raise --budget",
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
    "clock_set": (
        "warning",
        "The machine's clock was set while NVML was read: utilization cannot be placed in time",
        "measure again; if it recurs, stop the time service (NTP) while you measure",
    ),
    "trace_not_written": (
        "warning",
        "The trace of the profiled pass could not be written",
        "give --trace a file in a folder with room for it",
    ),
    "backward_inside": (
        "warning",
        "Backwards that the training step runs itself lie in the forward or the loss, not in BPTT",
        "return the sum of the losses, whose backward seqprof runs; or measure the loop as it is: "
        "seqprof exec -- python train.py",
    ),
    "bptt_unmarked": (
        "note",
        "The BPTT of a loop cannot be timed: no gradient was seen on what its module returns",
        "it is in the backward phase all the same; torch.vmap, torch.func and no_grad hide it",
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


def incidents(case: Case) -> Iterator[Caveat]:
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


def few_steps(case: Case) -> Iterator[Caveat]:
    bare, kind = case.findings.header.bare_steps, headline_kind(case.findings.step)
    explained = {"few_pairs", "interrupted"} & {incident.kind for incident in case.trial.incidents}
    if bare < SMALLEST_INTERVAL and not explained:
        yield _incident("few_pairs", f"{bare} {kind} steps; an interval needs {SMALLEST_INTERVAL}")


def cut_dwells(case: Case) -> Iterator[Caveat]:
    cut = [f"{dwell.phase}: {dwell.reason}" for dwell in case.trial.dwells if dwell.reason]
    if cut:
        yield _incident("dwell_failed", "; ".join(cut))


def mig(case: Case) -> Iterator[Caveat]:
    if case.trial.samples.mig and not any(i.kind == "mig" for i in case.trial.incidents):
        yield _incident("mig", case.recording.environment.device.name)


def _incident(kind: str, evidence: str) -> Caveat:
    severity, text, remedy = INCIDENTS[kind]
    return Caveat(kind=kind, severity=severity, text=text, evidence=evidence, remedy=remedy)
