"""The argument, claim by claim."""

from __future__ import annotations

from dataclasses import replace

from seqprof.analysis.explain.chain import backward, chain, parallelism
from seqprof.analysis.explain.claim import Claim, Evidence
from seqprof.analysis.explain.facts import ExplainFacts
from seqprof.analysis.explain.growth import batch, linear
from seqprof.analysis.explain.others import removes_chain
from seqprof.analysis.explain.underuse import underused

#: Load over cores from which it is not of this command alone: its threads are as many as cores.
OTHERS_FROM = 2.0


def all_claims(evidence: Evidence) -> tuple[Claim, ...]:
    """Judge all claims; the last is made about each of the other candidates."""
    claims = (
        chain(evidence),
        parallelism(evidence),
        backward(evidence),
        linear(evidence),
        batch(evidence),
        underused(evidence),
        *(removes_chain(evidence, other) for other in evidence.facts.candidates[1:]),
    )
    return tuple(_with_load(claim, evidence.facts) for claim in claims)


def _with_load(claim: Claim, facts: ExplainFacts) -> Claim:
    """Say of a claim that the budget left no time for that others used the machine, if they did."""
    load, cores = facts.load_average_1m, facts.cores
    spent = claim.verdict == "not_testable" and "budget" in claim.because
    if not spent or load is None or cores is None or load < OTHERS_FROM * cores:
        return claim
    if "others used" in claim.because:
        return claim
    others = f"others used the processor (load average {load:.0f} on {cores} cores)"
    return replace(claim, because=f"{others}: {claim.because}")
