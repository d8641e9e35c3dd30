"""Which loops over timesteps a bench marks, and why there are none where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seqprof.analysis.run.kernels import (
    fused_primitive,
    kind_of_kernels,
    operations_per_timestep,
)
from seqprof.instruments.loops import (
    CallWatcher,
    TimestepLoop,
    Watched,
    find_loops,
    named_loops,
    unruly_calls,
)
from seqprof.measure.trial.account import CountedStep
from seqprof.measure.trial.assembly import Assembled
from seqprof.recording import LoopFacts
from seqprof.spec import Spec
from seqprof.workloads.step import TrainingStep

_NO_LOOP = "no submodule is called along the sequence"
#: Most steps that are watched for sequences of another length, where they differ by themselves.
_WATCHED_STEPS = 4


@dataclass(frozen=True, slots=True)
class Searched:
    """What became of the search.

    Attributes:
        loops: those to mark.
        reason: why there are none; None where there are.
        in_vain: whether it was looked for them and none was found.
    """

    loops: list[TimestepLoop]
    reason: str | None = None
    in_vain: bool = False


def search_loops(spec: Spec, assembled: Assembled, step: TrainingStep, varied: bool) -> Searched:
    """Look for the loops to mark.

    Args:
        spec: what is wanted.
        assembled: the model.
        step: its training step.
        varied: whether T differed between the steps that were run before.

    Raises:
        SeqprofError: the module that the spec names bounds no timesteps.
    """
    wanted, facts = spec.measure.timesteps, assembled.built.facts
    if not wanted.enabled:
        return Searched([], "switched off (measure.timesteps.enabled)")
    if assembled.compiled:
        return Searched([], "the model is compiled: its timesteps are no longer calls")
    if wanted.module is not None:
        watched = _watch(step, varied)
        names = [wanted.module] if isinstance(wanted.module, str) else wanted.module
        named = [named_loops(step.model, name, watched) for name in names]
        return Searched([loop for loops in named for loop in loops])
    if facts.timestep_modules:
        modules = dict(step.model.named_modules())
        made = [
            TimestepLoop(m.path, modules[m.path], reverse=m.reverse, read_from="how it is built")
            for m in facts.timestep_modules
        ]
        return Searched(made)
    watched = _watch(step, varied)
    loops = find_loops(watched)
    return Searched(loops) if loops else Searched([], _why_none(watched), in_vain=True)


def _why_none(watched: Sequence[Watched]) -> str:
    unruly = unruly_calls(watched)
    if unruly is None:
        return _NO_LOOP
    path, calls, timesteps = unruly
    return (
        f"`{path}` is called {calls} times in a forward over {timesteps} timesteps: which "
        "timestep each call belongs to cannot be told"
    )


def _watch(step: TrainingStep, varied: bool) -> Sequence[Watched]:
    """Watch the calls of some steps, over sequences of two lengths where there are such."""
    watcher = CallWatcher(step.model)
    with watcher.watching():
        for done in range(_WATCHED_STEPS):
            if done and not varied and step.prefixes.possible:
                break
            step.run(forwards=watcher)
            if len({forward.timesteps for forward in watcher.forwards}) > 1:
                return watcher.forwards
        longest = max(forward.timesteps for forward in watcher.forwards)
        shorter = step.prefixes.nearest(longest // 2 + 1) if longest > 3 else None
        if shorter is not None:
            before = len(watcher.forwards)
            try:
                step.run(prefix=shorter, forwards=watcher)
            except Exception:  # one length has to do
                del watcher.forwards[before:]
    return watcher.forwards


def why_no_loop(reason: str, made: CountedStep, timesteps: int) -> str:
    """Say what runs in place of a loop over modules, by the operations that were counted.

    Args:
        reason: what the search for loops found.
    """
    fused = fused_primitive(made.by_name)
    if fused is not None and reason == _NO_LOOP:
        return f"{reason}: one call of {fused} handles the whole sequence"
    if is_unrolled(made, timesteps):
        per = operations_per_timestep(made.by_name, timesteps, made.by_length)
        return f"{reason}; the forward launches {per:.3g} operations per timestep all the same"
    return reason


def is_unrolled(made: CountedStep, timesteps: int) -> bool:
    """Whether the forward launches operations for each timestep."""
    return kind_of_kernels(made.by_name, timesteps, lengths=made.by_length) == "unrolled"


def facts_of(loops: Sequence[TimestepLoop], forwards: Sequence[int]) -> tuple[LoopFacts, ...]:
    """Describe loops as a recording does, in forwards over so many timesteps each."""
    return tuple(
        LoopFacts(
            loop=loop.path,
            timesteps=sum(forwards),
            calls=sum(map(loop.rule.calls, forwards)),
            rule=_rule_in(forwards, loop),
            positions=sum(map(loop.positions, forwards)),
            timesteps_per_position=1 if loop.by_call else loop.rule.every,
            by_call=loop.by_call,
            calls_per_position=loop.calls_per_position,
            turns=loop.turns,
            passes=loop.passes,
            reverse=loop.reverse,
            read_from=loop.read_from,
        )
        for loop in loops
    )


def _rule_in(forwards: Sequence[int], loop: TimestepLoop) -> str:
    """How often a loop is called; what is less or more is so in each chunk of truncated BPTT."""
    several = len(forwards) > 1 and loop.rule.more
    return loop.rule.words + (f", in each of {len(forwards)} chunks" if several else "")
