"""The argument, claim by claim."""

from __future__ import annotations

from seqprof.analysis.explain.chain import backward, chain, parallelism
from seqprof.analysis.explain.claim import Claim, Evidence
from seqprof.analysis.explain.growth import batch, linear
from seqprof.analysis.explain.others import removes_chain
from seqprof.analysis.explain.underuse import underused


def all_claims(evidence: Evidence) -> tuple[Claim, ...]:
    """Judge all claims; the last is made about each of the other candidates."""
    return (
        chain(evidence),
        parallelism(evidence),
        backward(evidence),
        linear(evidence),
        batch(evidence),
        underused(evidence),
        *(removes_chain(evidence, other) for other in evidence.facts.candidates[1:]),
    )
