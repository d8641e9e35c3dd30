"""Caveats of what was trained: a model and data whose figures need a word."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.run.caveats.caveat import Case, Caveat
from seqprof.analysis.run.command_again import again
from seqprof.analysis.run.findings import setting
from seqprof.analysis.run.marginal import theil_sen
from seqprof.analysis.statistics import (
    median,
)
from seqprof.analysis.wording import seconds_in_words

#: Steps from which growth of memory is told, and the least growth over the first reading.
MEMORY_STEPS, MEMORY_GROWTH = 18, 0.02
#: The same where sizes differ from batch to batch: an allocator keeps room for each that it meets.
MEMORY_GROWTH_OF_SIZES = 0.2
#: Share of computed timesteps that is padding.
HIGH_PADDING = 0.10


def launch_bound(case: Case) -> Iterator[Caveat]:
    bound = [loop for loop in case.findings.launch_bound if loop.holds]
    if bound:
        worst = max(bound, key=lambda loop: loop.share)
        yield Caveat(
            kind="launch_bound",
            severity="warning",
            text="The timesteps are launch-bound: the device waits for the host",
            evidence=f"{worst.loop} {worst.phase}: host {seconds_in_words(worst.host_s)} against "
            f"device {seconds_in_words(worst.device_s)}; so in {worst.share:.0%} of the timesteps",
            remedy="use the fused form (model.execution: fused), a larger batch, or CUDA graphs",
        )


def memory_grows(case: Case) -> Iterator[Caveat]:
    """Memory that each step leaves behind, on top of what the steps before left."""
    held = [step.held_bytes for step in case.trial.steps if step.held_bytes is not None]
    if len(held) < MEMORY_STEPS:
        return
    later = held[len(held) // 3 :]  # allocators fill up at first
    slope, low, _ = theil_sen(range(len(later)), later)
    grown = slope * len(later)
    sizes = {(step.timesteps, step.batch_sizes) for step in case.trial.steps}
    least = MEMORY_GROWTH if len(sizes) == 1 else MEMORY_GROWTH_OF_SIZES
    if low > 0 and grown > least * held[0] and later[-1] == max(later):
        yield Caveat(
            kind="memory_grows",
            severity="warning",
            text="Memory grows from step to step",
            evidence=f"by {slope / 1e6:.2g} MB a step over the last {len(later)} steps, to "
            f"{later[-1] / 1e6:.0f} MB",
            remedy="look for what keeps graphs or batches: a list of losses that are not "
            "detached (`loss.item()`), a state carried on without `.detach()`, a cache",
        )


def compiled(case: Case) -> Iterator[Caveat]:
    """What Dynamo made of ``train.compile``."""
    made = case.trial.compile
    if made is None:
        return
    if not made.graphs:
        yield Caveat(
            kind="compiled_nothing",
            severity="warning",
            text="torch.compile compiled nothing: the model ran as it stands",
            evidence="; ".join(made.reasons) or "Dynamo captured no graph",
            remedy="leave train.compile out, or run with TORCH_LOGS=graph_breaks to see why",
        )
    elif made.graph_breaks or made.recompilations:
        seconds = "" if made.seconds is None else f" in {made.seconds:.1f} s"
        yield Caveat(
            kind="compiled_in_parts",
            severity="note" if not made.recompilations else "warning",
            text="torch.compile compiled the model in parts, or more than once",
            evidence=f"{made.graphs} graphs of {made.operations} operations{seconds}, "
            f"{made.graph_breaks} graph breaks, {made.recompilations} recompilations: "
            + "; ".join(made.reasons),
            remedy="TORCH_LOGS=graph_breaks,recompiles says where in the model they come from",
        )


def padding(case: Case) -> Iterator[Caveat]:
    share = case.findings.padding.value
    if share is not None and share > HIGH_PADDING:
        packed = case.trial.workload.execution == "fused"
        yield Caveat(
            kind="padding",
            severity="note",
            text="Much of what is computed is padding",
            evidence=f"{share:.0%} of the computed timesteps (limit {HIGH_PADDING:.0%})",
            remedy="put sequences of similar length into a batch"
            + (
                ", or try --set data.lengths.layout=packed, which can also be slower"
                if packed
                else ""
            ),
        )


def packed(case: Case) -> Iterator[Caveat]:
    if setting(case.recording.spec, "data.lengths.layout") != "packed":
        return
    workload, steps = case.trial.workload, case.trial.steps
    if not steps:
        return
    computed = median([float(step.positions) for step in steps])
    timesteps, sequences = workload.sizes
    whole = sequences * timesteps
    yield Caveat(
        kind="packed",
        severity="note",
        text="Sequences are packed: no padding is computed, but packing has its own cost",
        evidence=f"a step computes {computed:,.0f} timesteps in the median; padded to the longest "
        f"they would be up to {whole:,}",
        remedy="compare: " + again(case.recording, "data.lengths.layout=padded"),
    )
