"""The document of `seqprof explain`: claims, verdicts, and the picture that is the argument."""

from __future__ import annotations

from collections import Counter
from textwrap import shorten

from msgspec.structs import replace

from seqprof.analysis.explain.claim import Claim, Figure
from seqprof.analysis.explain.summary import Explanation
from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.trust import doubts
from seqprof.analysis.statistics import Estimate
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    Block,
    Cell,
    Column,
    Document,
    Folded,
    Only,
    Prose,
    Section,
    Table,
    View,
    heads,
    word,
)
from seqprof.reports.documents.explain_pictures import (
    cascade_picture,
    graph_picture,
    longest_chain,
)
from seqprof.reports.documents.findings import findings
from seqprof.reports.documents.place import place_in_short, when
from seqprof.reports.documents.scale_plots import batch_chart, length_chart
from seqprof.reports.formats import Result
from seqprof.reports.plots import Lines

VERDICTS = {
    "shown": "shown here",
    "not_seen": "not seen here",
    "not_testable": "cannot be tested here",
}
_TONES = {"shown": "good", "not_seen": "bad", "not_testable": ""}
#: Of a first screen: its lines, letters of a line, claims on it, and rows of the plot.
_SCREEN, _LINE, _CLAIMS, _ROWS = 40, 78, 9, (3, 9)
#: Lines that are always there: empty ones, the subtitle, the count of verdicts, the plot's name,
#: axes and key, and the last.
_FRAME = 14


def document(result: Result, view: View) -> Document:
    """Return the document of one explanation."""
    explanation: Explanation = result.summary
    return Document(
        title=_title(explanation),
        subtitle=" · ".join(_subtitle(explanation)),
        line="; ".join(f"{_name(c)} {VERDICTS[c.verdict]}" for c in explanation.claims),
        sections=[
            _answer(explanation),
            *_screen_plot(explanation),
            *_picture(explanation),
            *(_claim(claim, explanation) for claim in explanation.claims),
            *(replace(section, rank=DETAIL) for section in findings(_caveats(explanation))),
        ],
        handout=True,
    )


def _title(explanation: Explanation) -> str:
    labels = ", ".join(one.label for one in explanation.facts.candidates)
    return f"Why recurrence does not parallelize over time: {labels}"


def _subtitle(explanation: Explanation) -> list[str]:
    timesteps, batch = explanation.facts.base
    recording = explanation.facts.scaling or explanation.facts.run
    where = [place_in_short(recording.environment)] if recording else []
    return [*where, f"T = {timesteps:,}, batch {batch}", when(explanation.facts.created)]


def _caveats(explanation: Explanation) -> tuple[Caveat, ...]:
    """Those of the scaling and of the run, each kind once."""
    both = (
        *(explanation.scaled.caveats if explanation.scaled else ()),
        *(explanation.run.caveats if explanation.run else ()),
    )
    return tuple({caveat.kind: caveat for caveat in reversed(both)}.values())[::-1]


# The answer -----------------------------------------------------------------------------------


def _answer(explanation: Explanation) -> Section:
    before = _doubts(explanation)
    blocks: list[Block] = [block for block in before if block.tone == "doubt"]
    blocks.append(Prose(lines=[_sum(explanation)], tone="answer"))
    blocks += [block for block in before if block.tone != "doubt"]
    blocks.append(Only(where="terminal", blocks=[Prose(lines=_on_screen(explanation.claims))]))
    blocks.append(Only(where="written", blocks=[_table(explanation)]))
    return Section(title="", name="The claims", blocks=blocks)


def _doubts(explanation: Explanation) -> list[Prose]:
    """Say why the figures are not to be trusted yet, and that the measuring ended early."""
    scaled = explanation.scaled
    steps = [] if scaled is None else [p.step for p in scaled.points if not p.failed]
    unsure = doubts(steps, scaled.caveats) if scaled is not None else None
    prose = [Prose(lines=[unsure], tone="doubt")] if unsure else []
    if explanation.facts.ended is not None:
        text = f"Ended early ({explanation.facts.ended}): what was measured until then is shown."
        prose.append(Prose(lines=[text], tone="warning"))
    return prose


def _sum(explanation: Explanation) -> str:
    """How many claims have which verdict."""
    counts = Counter(claim.verdict for claim in explanation.claims)
    parts = [f"{counts[v]} {VERDICTS[v]}" for v in ("shown", "not_seen", "not_testable")]
    some = [part for part in parts if not part.startswith("0 ")]
    return f"Of {len(explanation.claims)} claims: {', '.join(some)}."


def _on_screen(claims: tuple[Claim, ...]) -> list[str]:
    """Two lines a claim: its verdict, and the figure behind it or why there is none."""
    lines = []
    for claim in claims[:_CLAIMS]:
        lines.append(_fitted(f"{claim.number} {VERDICTS[claim.verdict]}: {claim.text}"))
        untested = claim.verdict == "not_testable"
        said = f"because {claim.because}" if untested else claim.brief or claim.because
        lines.append(_fitted(f"  {said}"))
    if claims[_CLAIMS:]:
        lines.append(f"and {len(claims) - _CLAIMS} more with --full")
    return lines


def _fitted(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return indent + shorten(line, _LINE, placeholder=" …")


def _name(claim: Claim) -> str:
    """Its number, and of the one that is made about several candidates of which."""
    return f"{claim.number} ({claim.label})" if claim.number == 7 else str(claim.number)


def _table(explanation: Explanation) -> Table:
    rows = [
        [
            word(f"{claim.number} {claim.text}"),
            word(VERDICTS[claim.verdict], _TONES[claim.verdict]),
            word(claim.brief or claim.because),
        ]
        for claim in explanation.claims
    ]
    columns = [*heads("claim", "verdict"), Column(name="why", sentences=True)]
    return Table(caption="The argument, claim by claim", columns=columns, rows=rows)


# The pictures ---------------------------------------------------------------------------------


def _screen_plot(explanation: Explanation) -> list[Section]:
    if explanation.scaled is None or not explanation.scaled.lengths:
        return []
    chart = length_chart(explanation.scaled, "step")
    assert isinstance(chart.plot, Lines)
    chart = replace(chart, plot=replace(chart.plot, rows=_plot_rows(explanation)))
    return [Section(title="", blocks=[Only(where="screen", blocks=[chart])])]


def _plot_rows(explanation: Explanation) -> int:
    """Return how many rows leave room for all else on one screen."""
    prose = [_title(explanation), *(line for block in _doubts(explanation) for line in block.lines)]
    wrapped = sum(-(-len(line) // _LINE) for line in prose)
    claims = 2 * min(_CLAIMS, len(explanation.claims)) + (len(explanation.claims) > _CLAIMS)
    keys = (len(explanation.facts.candidates) - 1) // 2  # lines of the plot's key but the first
    least, most = _ROWS
    return max(least, min(most, _SCREEN - _FRAME - wrapped - claims - keys))


def _picture(explanation: Explanation) -> list[Section]:
    picture = cascade_picture(explanation)
    if picture is None:
        return []
    return [Section(title="The argument as a picture", blocks=[picture], rank=DETAIL)]


def _claim(claim: Claim, explanation: Explanation) -> Section:
    measured = [figure for figure in claim.figures if not figure.derived]
    derived = [figure for figure in claim.figures if figure.derived]
    blocks: list[Block] = [
        Prose(lines=[f"{VERDICTS[claim.verdict].capitalize()}: {claim.because}."]),
        Prose(lines=[f"Tested by: {claim.tested}."], tone="quiet"),
        *_drawn(claim, explanation),
    ]
    if measured:
        blocks.append(Folded(summary="Its figures", blocks=[_figures("Figures", measured)]))
    if derived:
        each = q.seconds(explanation.facts.assumptions.kernel_latency_s)
        caption = f"Derived, not measured: operations of the step's chain × {each} each"
        blocks.append(_figures(caption, derived, exact=True))
    return Section(title=f"{claim.number} {claim.text}", blocks=blocks, rank=DETAIL)


def _drawn(claim: Claim, explanation: Explanation) -> list[Block]:
    """What a claim is seen in."""
    scaled = explanation.scaled
    if claim.number in (1, 7):
        one = next(one for one in explanation.facts.candidates if one.label == claim.label)
        longest = max(longest_chain(other.first) for other in explanation.facts.candidates)
        picture = graph_picture(one.label, one.first, longest)
        return [picture] if picture is not None else []
    if claim.number == 4 and scaled is not None and scaled.lengths:
        return [length_chart(scaled, "step")]
    if claim.number == 5 and scaled is not None and scaled.batches:
        return [batch_chart(scaled)]
    return []


def _figures(caption: str, figures: list[Figure], *, exact: bool = False) -> Table:
    """Return figures as a table; ``exact``: they have no interval."""
    rows = [[word(f.name), _value(f), _interval(f.estimate)] for f in figures]
    columns = heads("quantity", "value", ("95 % interval", "95 %"))
    shown = slice(2 if exact else 3)
    return Table(caption=caption, columns=columns[shown], rows=[row[shown] for row in rows])


def _value(figure: Figure) -> Cell:
    estimate = figure.estimate
    if figure.part_of is not None:
        return cells.idle(estimate, figure.part_of)
    if estimate.unit == "s":
        return cells.time(estimate)
    return cells.number(estimate, lambda e: f"{e.value:,.3g}")


def _interval(estimate: Estimate) -> Cell:
    if estimate.low is None or estimate.high is None:
        return word("")
    if estimate.unit == "s":
        return cells.interval(estimate)
    return word(f"{estimate.low:,.3g} … {estimate.high:,.3g}")
