"""What limits this run, in two or three sentences, and the next command to try."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.caveats import HIGH_PADDING, Caveat
from seqprof.analysis.findings import Findings, setting
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.timesteps import LoopLatency, LoopPhase, PhaseBalance
from seqprof.analysis.wording import digits_of, seconds_in_words
from seqprof.recording import Recording

#: A loop with at least this share of the step is what limits it.
SEQUENTIAL_SHARE = 0.5
#: A phase with at least this share of the step is named as the largest.
LARGE_SHARE = 0.3
#: Idle at least this share of a phase is worth a sentence.
MUCH_IDLE = 0.2
#: What makes the times themselves doubtful; then the next thing to do is to look at the machine.
DOUBTFUL = frozenset(
    {"high_variation", "drift", "steal", "other_load", "involuntary_switches", "threads"}
)
#: Cores that this run did not use were then not all idle.
TAKEN = frozenset({"steal", "other_load"})
NO_NVML = frozenset({"nvml_unavailable", "nvml_error", "nvml_hang", "wrong_pynvml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The run in plain words."""

    sentences: tuple[str, ...]
    next_command: str
    because: Annotated[str, Meta(description="why to try that command: to …")]


def judge(recording: Recording, findings: Findings, caveats: tuple[Caveat, ...]) -> Verdict:
    """Say what limits the run. Every number in it is also in the findings."""
    kinds = {caveat.kind for caveat in caveats}
    sentences = (
        *_where(findings),
        *_each_timestep(findings),
        *_idle(findings, kinds),
    )
    command, because = _next(recording, findings, kinds)
    if not sentences:
        sentences = ("No bare step was measured, so nothing can be said of what limits this run.",)
    return Verdict(sentences=sentences[:3], next_command=command, because=because)


def main_clock(findings: Findings) -> str:
    """Return the clock that the per-timestep numbers of the report are taken from."""
    return "device" if any(loop.clock == "device" for loop in findings.loops) else "host"


def _where(findings: Findings) -> Iterator[str]:
    """Where the step's time goes: the loops, or else the largest phase."""
    loops = [b for b in findings.balances if b.clock == main_clock(findings)]
    share = sequential_share(findings, loops)
    if share is not None and share >= SEQUENTIAL_SHARE:
        yield (
            f"{share:.0%} of the step is the loop over timesteps, one after the other: "
            "no timestep can start before the one that it depends on has ended."
        )
        return
    known = [phase for phase in findings.phases if phase.share.value is not None]
    if known:
        largest = max(known, key=lambda phase: phase.share.value or 0.0)
        if (largest.share.value or 0.0) >= LARGE_SHARE:
            yield f"The largest phase is {largest.phase}: {largest.share.value:.0%} of the step."


def sequential_share(findings: Findings, balances: list[PhaseBalance]) -> float | None:
    """Return the loops' share of the step: each phase's loop share times the phase's share."""
    shares = {phase.phase: phase.share.value for phase in findings.phases}
    found = [
        balance.loop_time.value / balance.phase_time.value * (shares.get(balance.phase) or 0.0)
        for balance in balances
        if balance.loop_time.value is not None and balance.phase_time.value
    ]
    return sum(found) if found else None


def _each_timestep(findings: Findings) -> Iterator[str]:
    forward, backward = (_per_timestep(findings, phase) for phase in ("forward", "backward"))
    bound = any(found.holds for found in findings.launch_bound)
    tail = "; the device waits for the host to launch work (launch-bound)" if bound else ""
    if forward is not None and backward is not None:
        yield (
            f"A timestep costs {seconds_in_words(forward)} forward and "
            f"{seconds_in_words(backward)} in BPTT ({backward / forward:.1f} times as much){tail}."
        )
        return
    derived = {cost.phase: cost.marginal for cost in findings.marginal}
    if derived and all((cost.low or 0.0) > 0.0 for cost in derived.values()):
        yield (
            f"One more timestep costs {_in_words(derived['forward'])} forward and "
            f"{_in_words(derived['backward'])} backward "
            "(derived from a sweep of lengths, not timed one by one)."
        )


def _in_words(estimate: Estimate) -> str:
    return seconds_in_words(estimate.value or 0.0, digits_of(estimate))


def _per_timestep(findings: Findings, phase: str) -> float | None:
    """Return what one timestep costs over all loops of a phase; None where none was timed."""
    loops = loops_of(findings, phase)
    values = [loop.p50.value for loop in loops if loop.p50.value is not None]
    return sum(values) if values and len(values) == len(loops) else None


def loops_of(findings: Findings, phase: LoopPhase | str) -> list[LoopLatency]:
    """Return the loops of a phase on the report's main clock."""
    clock = main_clock(findings)
    return [loop for loop in findings.loops if loop.phase == phase and loop.clock == clock]


def _idle(findings: Findings, kinds: set[str]) -> Iterator[str]:
    known = {i.phase: i for i in findings.idle if i.idle_time.value is not None and i.time.value}
    shares = {
        name: (i.idle_time.value or 0.0) / (i.time.value or 1.0)
        for name, i in known.items()
        if name in ("forward", "backward")
    }
    if not shares or max(shares.values()) < MUCH_IDLE:
        return
    told = " and ".join(
        f"{share:.0%} of the {name}" for name, share in shares.items() if share > 0.0
    )
    if findings.header.environment.device.is_accelerator:
        yield f"The accelerator is idle {told} (NVML, each phase repeated alone)."
    elif TAKEN & kinds:
        yield f"This run was without the processor's cores {told}: other programs had them."
    else:
        yield f"Processor cores are idle {told} (the processor stands in)."


def _next(recording: Recording, findings: Findings, kinds: set[str]) -> tuple[str, str]:
    workload = findings.header.workload
    if NO_NVML & kinds:
        return "seqprof doctor", "find out why NVML cannot be used"
    if DOUBTFUL & kinds:
        return "seqprof doctor", "see what disturbs measurements on this machine"
    if (findings.padding.value or 0.0) > HIGH_PADDING and workload.execution == "fused":
        return _again(recording, "data.lengths.layout=packed"), "see what padding costs"
    if workload.family in ("rnn", "lstm", "gru") and workload.execution == "cell":
        return _again(recording, "model.execution=fused"), "see the same model in one fused call"
    if workload.execution == "sequential":
        return _again(recording, "model.execution=parallel"), "see the same model as a scan"
    if workload.family in ("attention", "encoder"):
        longer = setting(recording.spec, "data.seq_len") or workload.timesteps
        return _again(recording, f"data.seq_len={2 * longer}"), "see how the step grows with T"
    larger = 2 * workload.batch_size
    return _again(
        recording, f"data.batch_size={larger}"
    ), "see whether a larger batch is nearly free"


def _again(recording: Recording, override: str) -> str:
    """Return the command that was given, with one more ``--set`` and without its output."""
    words = _words(recording.command) or ["seqprof", "run"]
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "--output"):
            skip = True
        elif not word.startswith("--output=") and word not in ("--json", "-q", "--quiet"):
            kept.append(word)
    return shlex.join([*kept, "--set", override])


def _words(command: str) -> list[str]:
    """Split a command line; a recording from elsewhere may hold one that is none."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
