"""ExplainFacts → the argument: claims with their verdicts, and the analyses that they rest on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seqprof.analysis.depth.model_depth import DepthSummary
from seqprof.analysis.depth.rows import rows as depth_rows
from seqprof.analysis.explain.claim import Claim, Evidence
from seqprof.analysis.explain.every import all_claims
from seqprof.analysis.explain.facts import ExplainFacts
from seqprof.analysis.rows import Row
from seqprof.analysis.run.summary import Summary, summarise
from seqprof.analysis.scale.rows import rows as scale_rows
from seqprof.analysis.scale.scaled import summarise_scaling
from seqprof.analysis.scale.summary import Meeting, Point, ScaledSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that a report of `explain` shows."""

    facts: ExplainFacts
    claims: tuple[Claim, ...]
    scaled: ScaledSummary | None
    run: Summary | None
    depth: DepthSummary

    @property
    def evidence(self) -> Evidence:
        """What the claims were judged by."""
        return Evidence(facts=self.facts, scaled=self.scaled, run=self.run)


def explain(facts: ExplainFacts) -> Explanation:
    """Judge all claims by the same analyses that `depth`, `scale` and `run` show."""
    scaled = None if facts.scaling is None else _crossed(summarise_scaling(facts.scaling))
    run = None if facts.run is None else summarise(facts.run)
    models = tuple(one.depth for one in facts.candidates if one.depth is not None)
    return Explanation(
        facts=facts,
        claims=all_claims(Evidence(facts=facts, scaled=scaled, run=run)),
        scaled=scaled,
        run=run,
        depth=DepthSummary(models=models, assumptions=facts.assumptions),
    )


def _crossed(scaled: ScaledSummary) -> ScaledSummary:
    """Leave out the lines of one point: lengths and batches were measured as a cross."""
    return replace(
        scaled,
        lengths=tuple(line for line in scaled.lengths if len(line.growth.sizes) > 1),
        batches=tuple(line for line in scaled.batches if len(line.growth.sizes) > 1),
        crossovers=tuple(m for m in scaled.crossovers if _measured(m, scaled)),
    )


def _measured(meeting: Meeting, scaled: ScaledSummary) -> bool:
    """Whether both were measured at several lengths at this batch size."""
    return all(
        len({p.timesteps for p in scaled.points if _is_of(p, label, meeting.batch_size)}) > 1
        for label in (meeting.first, meeting.second)
    )


def _is_of(point: Point, label: str, batch_size: int | None) -> bool:
    return point.label == label and batch_size in (None, point.batch_size)


def rows(explanation: Explanation) -> tuple[Row, ...]:
    """Return the numbers of its analyses, flat, as `depth` and `scale` have them."""
    scaled = () if explanation.scaled is None else scale_rows(explanation.scaled)
    return (*depth_rows(explanation.depth), *scaled)
