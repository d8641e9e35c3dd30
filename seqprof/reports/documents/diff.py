"""The document of `seqprof diff`."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.diff.differences import CaseChange, Differences
from seqprof.analysis.diff.differences_in_words import (
    gate_in_words,
    in_words,
    interval_in_words,
    ratio_in_words,
    stretch_in_words,
)
from seqprof.analysis.diff.idle_changed import IdleChange
from seqprof.analysis.diff.metric_change import MetricChange
from seqprof.analysis.diff.outcome import DiffOutcome
from seqprof.analysis.diff.timesteps_changed import LoopChange
from seqprof.analysis.run.quantities.run import QUANTITIES
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    ESSENTIAL,
    USEFUL,
    Block,
    Caveats,
    Cell,
    Document,
    Facts,
    Forest,
    Only,
    Prose,
    Section,
    Span,
    Table,
    View,
    Warned,
    heads,
    none,
    word,
)
from seqprof.reports.documents.diff_words import setting, side, value
from seqprof.reports.escaping import one_line
from seqprof.reports.formats import Result

#: What a reviewer needs: shown on the first screen, all others on demand.
FIRST = ("step_time", "phase_time.forward", "phase_time.backward", "peak_memory")
_TONES = {"slower": "bad", "more": "bad", "faster": "good", "less": "good"}
#: A change of idle that is shown, as a share of all idle of that phase or step.
_SHOWN_IDLE = 0.01
#: Settings on the first screen.
_FIRST_SETTINGS = 6


def document(result: Result, view: View) -> Document:
    """Return the document of what changed between two recordings."""
    outcome: DiffOutcome = result.summary
    differences = outcome.differences
    gated = gate_in_words(outcome.gate) if outcome.gate is not None else ()
    return Document(
        title=f"Changes from {one_line(differences.base.name)} to {one_line(differences.new.name)}",
        subtitle=f"seqprof diff ({differences.kind})",
        line=" ".join([*gated, *in_words(differences)]),
        sections=[
            _answer(outcome, gated),
            *_settings(differences),
            *(_case(case, outcome) for case in differences.cases),
            *_unmatched(differences),
            *_warnings(differences),
            _about(differences),
        ],
    )


def _answer(outcome: DiffOutcome, gated: Sequence[str]) -> Section:
    differences = outcome.differences
    doubtful = [
        f"Not comparable, compared all the same: {one_line(line)}."
        for line in differences.incomparable
    ]
    blocks: list[Block] = [Prose(lines=doubtful, tone="doubt")] if doubtful else []
    blocks += [Prose(lines=[line], tone=_gate_tone(line)) for line in gated]
    blocks.append(Prose(lines=in_words(differences), tone="answer"))
    drawn = _forest(differences.cases)
    blocks += [drawn] if drawn is not None else []
    return Section(title="", name="The answer", blocks=blocks)


def _gate_tone(line: str) -> str:
    return "warning" if line.startswith(("FAILED", "inconclusive", "not compared")) else "answer"


def _forest(cases: Sequence[CaseChange]) -> Forest | None:
    """Draw the step's ratio of each case; None for a single one, whose sentence says it."""
    if len(cases) < 2:
        return None
    spans = [
        Span(
            name=case.name,
            text=f"{ratio_in_words(step.ratio)} ({interval_in_words(step.ratio)}) "
            f"{step.verdict or ''}",
            value=step.ratio.value,
            low=step.ratio.low,
            high=step.ratio.high,
            tone=_TONES.get(step.verdict or "", ""),
        )
        for case in cases
        if (step := case.find("step_time")).ratio.value is not None
    ]
    caption = "Step time, new / base, with its 95 % interval (left of 1 is faster)."
    label = "Step time, new / base: " + ", ".join(f"{s.name} {s.text}" for s in spans)
    return Forest(caption=caption, label=label, spans=spans) if spans else None


def _settings(differences: Differences) -> list[Section]:
    title = "What changed in spec and environment"
    changes = [*differences.spec, *differences.environment]
    if not changes:
        return [Section(title=title, blocks=[Prose(lines=["Nothing."], tone="quiet")])]
    rows = [[word(text) for text in setting(change)] for change in changes]
    table = Table(
        caption=title,
        columns=heads("setting", "base", "new"),
        rows=rows,
        ranks=[USEFUL if index < _FIRST_SETTINGS else DETAIL for index in range(len(rows))],
    )
    return [Section(title=title, blocks=[table])]


def _case(case: CaseChange, outcome: DiffOutcome) -> Section:
    several = len(outcome.differences.cases) > 1
    blocks: list[Block] = [_metrics(case, outcome.keys)]
    if outcome.keys is None:
        blocks.append(
            Only(
                where="detail",
                blocks=[
                    *(_loop(loop) for loop in case.loops),
                    *_absent_loops(case),
                    *_idle(case),
                ],
            )
        )
    return Section(title=case.name if several else "What was measured", blocks=blocks)


def _metrics(case: CaseChange, keys: Sequence[str] | None) -> Table:
    """Return the metrics: those that were asked for, or all that say something."""
    shown = [
        metric
        for metric in case.metrics
        if (metric.key in keys if keys is not None else _worth_showing(metric))
    ]
    return Table(
        caption="Metrics",
        columns=heads(
            "metric",
            "base",
            "new",
            ("new / base", "ratio"),
            ("95 % interval", "95%"),
            "verdict",
        ),
        rows=[_row(metric) for metric in shown],
        ranks=[
            ESSENTIAL if keys is not None or metric.key in FIRST else DETAIL for metric in shown
        ],
    )


def _row(metric: MetricChange) -> list[Cell]:
    ratio = metric.ratio
    if ratio.value is None:
        absent = none(ratio.reason or "not compared")
        compared = [absent, absent, word("")]
    else:
        compared = [
            Cell(text=ratio_in_words(ratio), method=ratio.method),
            cells.interval(ratio, interval_in_words),
            word(metric.verdict or "no interval", _tone(metric)),
        ]
    values = [
        cells.number(estimate, lambda e: value(metric.metric, e))
        for estimate in (metric.base, metric.new)
    ]
    return [word(_broken(one_line(metric.key))), *values, *compared]


def _broken(key: str, most: int = 30) -> str:
    """Break a long name at its dots."""
    lines = [""]
    for part in key.split("."):
        joined = f"{lines[-1]}.{part}" if lines[-1] else part
        if lines[-1] and len(joined) > most:
            lines.append(f"  .{part}")
        else:
            lines[-1] = joined
    return "\n".join(lines)


def _tone(metric: MetricChange) -> str:
    """Colour a verdict; what neither direction of is worse has none."""
    return "" if metric.worse is None else _TONES.get(metric.verdict or "", "")


def _worth_showing(metric: MetricChange) -> bool:
    if metric.base.value is None and metric.new.value is None:
        return False
    counted = QUANTITIES[metric.metric].judged == "count"
    return not (counted and metric.verdict == "equivalent")


def _loop(loop: LoopChange) -> Table:
    phase = "forward" if loop.phase == "forward" else "BPTT"
    rows = [
        [
            word(stretch_in_words(part)),
            cells.seconds(part.base_s, "measured", "not marked"),
            cells.seconds(part.new_s, "measured", "not marked"),
            cells.number(part.ratio, ratio_in_words),
            cells.interval(part.ratio, interval_in_words),
            word("slower here" if part.stands_out else "", "bad"),
        ]
        for part in loop.bins
    ]
    return Table(
        caption=f"{loop.loop} · {phase} · {loop.clock} clock · T = {loop.timesteps}",
        columns=heads(
            "timesteps",
            "base p50",
            "new p50",
            ("new / base", "ratio"),
            ("95 % interval", "95%"),
            "",
        ),
        rows=rows,
    )


def _absent_loops(case: CaseChange) -> list[Block]:
    lines = [f"{q.NOTHING} timesteps: {reason}" for reason in case.loops_absent]
    return [Prose(lines=lines, tone="quiet")] if lines else []


def _idle(case: CaseChange) -> list[Block]:
    """Return idle by phase and cause, without what is next to nothing in both."""
    if case.idle_reason is not None:
        return [Prose(lines=[f"{q.NOTHING} idle by cause: {case.idle_reason}"], tone="quiet")]
    whole = max((max(part.base_s, part.new_s) for part in case.idle), default=0.0)
    rows = [
        _idle_row(part) for part in case.idle if max(part.base_s, part.new_s) > _SHOWN_IDLE * whole
    ]
    on = case.idle[0].on if case.idle else "device"
    return [
        Table(
            caption=f"Idle by cause ({on}; per step)",
            columns=heads("idle", "cause", "base", "new", "change"),
            rows=rows,
            remarks=["means of a few profiled steps, without interval"],
        )
    ]


def _idle_row(part: IdleChange) -> list[Cell]:
    change = part.new_s - part.base_s
    sign = "+" if change > 0 else "−"
    return [
        word(part.phase),
        word(part.cause),
        word(q.seconds(part.base_s)),
        word(q.seconds(part.new_s)),
        word(f"{sign}{q.seconds(abs(change))}" if change else "0"),
    ]


def _unmatched(differences: Differences) -> list[Section]:
    if not differences.unmatched:
        return []
    lines = [one_line(line) for line in differences.unmatched]
    return [Section(title="Not compared", blocks=[Prose(lines=lines, tone="warning")])]


def _warnings(differences: Differences) -> list[Section]:
    """Return what the recordings themselves warn of; none where they warn of nothing."""
    if not differences.warnings:
        return []
    caveats = [
        Warned(
            severity=warning.severity,
            text=warning.text,
            evidence="; ".join(
                f"{name}: {evidence}"
                for name, evidence in (("base", warning.base), ("new", warning.new))
                if evidence
            ),
            remedy=warning.remedy,
        )
        for warning in differences.warnings
    ]
    title = "Warnings that the recordings carry"
    return [Section(title=title, blocks=[Caveats(caveats=caveats)])]


def _about(differences: Differences) -> Section:
    pairs = [("base", side(differences.base)), ("new", side(differences.new))]
    return Section(title="Which recordings", blocks=[Facts(pairs=pairs)])
