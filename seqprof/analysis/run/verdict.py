"""What limits this run, in two or three sentences, and the next command to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.caveats.workload import HIGH_PADDING
from seqprof.analysis.run.command_again import again, exec_again
from seqprof.analysis.run.findings import Findings, setting
from seqprof.analysis.run.natural import METHOD as NATURAL
from seqprof.analysis.run.timesteps import LoopLatency, LoopPhase, PhaseBalance
from seqprof.analysis.run.trust import doubt
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import digits_of, seconds_in_words
from seqprof.recording import Recording

#: A loop with at least this share of the step is what limits it.
SEQUENTIAL_SHARE = 0.5
#: A phase with at least this share of the step is named as the largest.
LARGE_SHARE = 0.3
#: Idle at least this share of a phase is worth a sentence.
MUCH_IDLE = 0.2
#: Cores that this run did not use were then not all idle.
TAKEN = frozenset({"steal", "other_load"})
#: On an H100, 27 % busy by NVML where kernels ran for 16 % of the time (docs/evidence/h100.md).
_BY_NVML = "NVML, each phase repeated alone: it takes short gaps for busy"
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
    command, because = _next(recording, findings, caveats)
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
            f"{_step(findings)}{share:.0%} of it is the loop over {_timesteps(findings)} "
            "timesteps, which cannot run in parallel: each needs the result of the one before."
        )
        return
    known = [phase for phase in findings.phases if phase.share.value is not None]
    if known:
        largest = max(known, key=lambda phase: phase.share.value or 0.0)
        if (largest.share.value or 0.0) >= LARGE_SHARE:
            yield f"{_step(findings)}{largest.share.value:.0%} of it is the {largest.phase}."
            return
    if findings.step.value is not None:
        yield f"A step takes {in_words(findings.step)}."


def _timesteps(findings: Findings) -> str:
    """How many a loop goes over; at most so many where sequences differ in length."""
    loop, lengths = findings.loops[0], findings.header.lengths
    by_call = loop.counts is not None and loop.counts.by_call
    longest = findings.header.workload.timesteps if lengths is None else lengths.longest
    whole = longest if by_call else None
    count = f"{whole or loop.timesteps * loop.timesteps_per_span:,}"
    differ = lengths is not None and lengths.shortest != lengths.longest
    return f"up to {count}" if differ else count


def _step(findings: Findings) -> str:
    """Begin the sentence that answers; nothing where no bare step was measured."""
    if findings.step.value is None:
        return "Of the step nothing is known but shares: "
    return f"A step takes {in_words(findings.step)}; "


def sequential_share(findings: Findings, balances: list[PhaseBalance]) -> float | None:
    """Return the loops' share of the step: each phase's loop share times the phase's share."""
    shares = {phase.phase: phase.share.value for phase in findings.phases}
    in_loops = [
        balance.loop_time.value / balance.phase_time.value * (shares.get(balance.phase) or 0.0)
        for balance in balances
        if balance.loop_time.value is not None and balance.phase_time.value
    ]
    return sum(in_loops) if in_loops else None


def _each_timestep(findings: Findings) -> Iterator[str]:
    forward, backward = (per_timestep(findings, phase) for phase in ("forward", "backward"))
    bound = any(loop.holds for loop in findings.launch_bound)  # None: not known
    tail = "; the device waits for the host to launch work (launch-bound)" if bound else ""
    if forward is not None and backward is not None:
        yield (
            f"A timestep costs {in_words(forward)} forward and {in_words(backward)} in BPTT "
            f"({_times(forward, backward)}){tail}."
        )
        return
    derived = {cost.phase: cost.marginal for cost in findings.marginal}
    natural = any(cost.method == NATURAL for cost in derived.values())
    source = "the steps as they came" if natural else "a sweep of lengths"
    if derived and all((cost.low or 0.0) > 0.0 for cost in derived.values()):
        yield (
            f"One more timestep costs {in_words(derived['forward'])} forward and "
            f"{in_words(derived['backward'])} backward "
            f"(derived from {source}, not timed one by one)."
        )


def in_words(estimate: Estimate) -> str:
    """Write a time with the digits that its interval supports."""
    return seconds_in_words(estimate.value or 0.0, digits_of(estimate))


def _times(forward: Estimate, backward: Estimate) -> str:
    ratio = (backward.value or 0.0) / (forward.value or 1.0)
    return f"{ratio:.1f} times as much"


def per_timestep(findings: Findings, phase: str) -> Estimate | None:
    """Return what a timestep of the data costs over all loops of a phase; None if none was timed.

    A span of a loop may handle several timesteps; loops over layers and directions add up.
    """
    loops = loops_of(findings, phase)
    values = [loop.per_timestep.value for loop in loops if loop.per_timestep.value is not None]
    if not values or len(values) < len(loops):
        return None
    if len(loops) == 1:
        return loops[0].per_timestep
    return Estimate(value=sum(values), unit="s", method=f"sum of {len(loops)} loops")


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
    by_phase = " and ".join(
        f"{share:.0%} of the {name}" for name, share in shares.items() if share > 0.0
    )
    if findings.header.environment.device.is_accelerator:
        timeline = any(known[name].idle_source == "busy_fraction" for name in shares)
        source = "kernel timeline" if timeline else _BY_NVML
        yield f"The accelerator is idle {by_phase} ({source})."
    elif TAKEN & kinds:
        yield f"This run was without the processor's cores {by_phase}: other programs had them."
    else:
        yield f"Processor cores are idle {by_phase} (no GPU)."


def _next(recording: Recording, findings: Findings, caveats: tuple[Caveat, ...]) -> tuple[str, str]:
    """Return the command that follows from what limits the run, and what for."""
    kinds = {caveat.kind for caveat in caveats}
    workload = findings.header.workload
    if doubt(findings.step, caveats) is not None:
        return "seqprof doctor", "see what disturbs measurements on this machine"
    if recording.trials[0].loop is not None:
        return _next_of_script(recording)
    if (findings.padding.value or 0.0) > HIGH_PADDING and workload.execution == "fused":
        return again(recording, "data.lengths.layout=packed"), "see what padding costs"
    if workload.family in ("rnn", "lstm", "gru") and workload.execution == "cell":
        return again(recording, "model.execution=fused"), "see the same model in one fused call"
    if workload.execution == "sequential":
        return again(recording, "model.execution=parallel"), "see the same model as a scan"
    own_data = setting(recording.spec, "data.target") is not None
    if workload.family in ("attention", "encoder") and not own_data:
        longer = setting(recording.spec, "data.seq_len") or workload.sizes[0]
        return again(recording, f"data.seq_len={2 * longer}"), "see how the step grows with T"
    if NO_NVML & kinds:
        return "seqprof doctor", "find out why NVML cannot be used"
    if own_data:  # its batches are as large as they come
        command = again(recording, command="depth")
        return command, "see how many operations wait for each other, and how that grows with T"
    larger = again(recording, f"data.batch_size={2 * workload.sizes[1]}")
    return larger, "see whether a larger batch is nearly free"


def _next_of_script(recording: Recording) -> tuple[str, str]:
    """Of a loop of the user's own: see it in a timeline, or how small a change can be seen."""
    traced = exec_again(recording, "--trace", "trace.json.gz")
    if traced is None or "--trace" in recording.command:
        return "seqprof doctor", "see how small a change of the script can be seen here"
    return traced, "see in a timeline what runs when (ui.perfetto.dev)"
