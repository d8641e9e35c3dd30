"""How often what is repeated is called, where that is not once a timestep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from seqprof.analysis.run.summary import Summary
from seqprof.analysis.run.timesteps import LoopLatency
from seqprof.recording import LoopFacts, Trial

Unit = Literal["timestep", "call"]


def facts_of(trial: Trial, name: str) -> LoopFacts | None:
    """Return the counts of a loop; None in an older recording."""
    return next((facts for facts in trial.loops if facts.loop == name), None)


def unit_of(facts: LoopFacts | None) -> Unit:
    """What each latency is of: where timesteps have no calls of their own, of a call."""
    uneven = facts is not None and (facts.by_call or facts.timesteps_per_position > 1)
    return "call" if uneven else "timestep"


def counted(facts: LoopFacts | None) -> str:
    """``39 calls for 20 timesteps: 2 a timestep, 1 less in all``; empty where it is one for one."""
    if facts is None or facts.calls == facts.timesteps:
        return ""
    return f"{facts.calls:,} calls for {facts.timesteps:,} timesteps ({facts.rule})"


def length_of(loops: Sequence[LoopLatency], summary: Summary) -> int:
    """Return the longest T of the data that was timed; as a rule as many as there are latencies."""
    if not loops or unit_of(loops[0].counts) == "timestep":
        return loops[0].timesteps if loops else 0
    lengths = summary.header.lengths
    return lengths.longest if lengths is not None else summary.header.workload.sizes[0]


def calls_in_short(facts: LoopFacts | None) -> str:
    """``39 (2 a timestep, 1 less in all)``; nothing in an older recording."""
    return "" if facts is None else f"{facts.calls:,} ({facts.rule})"
