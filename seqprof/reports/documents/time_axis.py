"""A device over time: one axis with lanes, a strip of busy and idle by cause, the largest gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqprof.analysis.stretches import stretches
from seqprof.recorded_axis import IdleGap, Lane, TimeAxis
from seqprof.reports import quantities as q
from seqprof.reports.document import DETAIL, USEFUL, Block, Cell, Picture, Table, heads, none, word
from seqprof.reports.documents.trace_words import named
from seqprof.reports.plots import Box, LazyBoxes

#: In units of the picture: its width, room for names, heights of the strip and of a lane.
_WIDTH, _LEFT, _STRIP, _LANE, _SPACE = 760.0, 120.0, 44.0, 18.0, 6.0
#: Above it stand the numbers of the gaps.
_TOP = 16.0
#: Levels of a share that are told apart: neighbouring slices of one level are one box.
_LEVELS = 16
#: Columns of the drawing in characters, rows of the table.
_CHARACTERS, _ROWS = 56, 12
#: Gaps that the first screen lists, and that the picture numbers.
_FIRST_GAPS = 3
_LONGEST_NAME = 24
_LETTERS = {
    "launch": "l", "sync": "s", "data": "d", "communication": "c", "dependency": "q",
    "unknown": "?",
}  # fmt: skip
_LETTER_WORDS = {"dependency": "queued (dependency)"}
_SLICE = "exact: intervals of the trace inside each slice"
_NS = 1e-9
Texts = list[tuple[float, float, str]]


def over_time(axis: TimeAxis | None) -> list[Block]:
    """Return the picture and the list of gaps; nothing for a result of an older seqprof."""
    if axis is None or not axis.busy:
        return []
    gaps = [_gaps(axis)] if axis.gaps else []
    return [_picture(axis), *gaps]


# The picture --------------------------------------------------------------------------------


def _picture(axis: TimeAxis) -> Picture:
    length = axis.length_ns * _NS
    bottom = _top_of_lanes(axis) + (_LANE + _SPACE) * len(_lanes(axis))
    return Picture(
        title="Streams and host threads on one axis",
        label=f"{q.seconds(length)} in {len(axis.busy)} slices. {_in_words(axis)}",
        width=_WIDTH,
        height=bottom + 16,
        boxes=LazyBoxes(lambda: _boxes(axis)),
        texts=_texts(axis, bottom),
        legend=_legend(axis),
        drawn=_drawn(axis),
        table=_table(axis),
        remarks=_remarks(axis),
    )


def _lanes(axis: TimeAxis) -> tuple[Lane, ...]:
    return (*axis.streams, *axis.threads)


def _top_of_strip(axis: TimeAxis) -> float:
    return _TOP + (_LANE + _SPACE if axis.phases else 0.0)


def _top_of_lanes(axis: TimeAxis) -> float:
    return _top_of_strip(axis) + _STRIP + _SPACE


def _boxes(axis: TimeAxis) -> Iterator[Box]:
    yield from _phase_boxes(axis, _TOP)
    yield from _strip(axis, _top_of_strip(axis))
    top = _top_of_lanes(axis)
    for lane in _lanes(axis):
        nothing = [0.0] * len(lane.busy)
        yield from _filled(axis, lane.busy, nothing, top, _LANE, "busy", lane.name)
        top += _LANE + _SPACE


def _texts(axis: TimeAxis, bottom: float) -> Texts:
    """The names of the rows, the numbers of the gaps, and the times below."""
    texts: Texts = [(0.0, _TOP + 12, "host: phases")] if axis.phases else []
    strip, lanes = _top_of_strip(axis) + _STRIP / 2, _top_of_lanes(axis)
    texts += [(0.0, strip, "busy, then idle"), (0.0, strip + 15, "by cause"), *_numbers(axis)]
    texts += [
        (0.0, lanes + (_LANE + _SPACE) * row + 13, lane.name)
        for row, lane in enumerate(_lanes(axis))
    ]
    length = axis.length_ns * _NS
    return texts + [
        (_LEFT + (_WIDTH - _LEFT - 58) * part / 4, bottom + 10, q.seconds(length * part / 4, 2))
        for part in range(5)
    ]


def _in_words(axis: TimeAxis) -> str:
    lanes = len(axis.streams) + len(axis.threads)
    busiest = max(range(len(axis.busy)), key=lambda at: axis.busy[at])
    at = axis.length_ns * _NS * busiest / len(axis.busy)
    return (
        f"{lanes} lane{'s' * (lanes != 1)} of streams and host threads; the busiest slice begins "
        f"at {q.seconds(at, 2)} and is busy {q.share(axis.busy[busiest])} of the time."
    )


def _legend(axis: TimeAxis) -> list[tuple[str, str]]:
    phases = dict.fromkeys(span.name for span in axis.phases)
    return [
        ("busy", "busy"),
        *((f"idle: {cause}", f"cause-{cause}") for cause in axis.idle_by_cause),
        *((f"host: {phase}", _phase_colour(phase)) for phase in phases),
    ]


def _phase_colour(phase: str) -> str:
    return "step" if phase == "communication" else phase


def _remarks(axis: TimeAxis) -> list[str]:
    remarks = ["A lane is as high as the share of the slice in which something ran there."]
    if axis.gaps:
        remarks.append("The numbers stand above the largest gaps, listed below.")
    if axis.lanes_left_out:
        remarks.append(f"{axis.lanes_left_out} lanes with less work are left out.")
    if not axis.phases:
        remarks.append("No phases are drawn: none was found, or there are too many.")
    return remarks


def _phase_boxes(axis: TimeAxis, top: float) -> Iterator[Box]:
    for span in axis.phases:
        yield Box(
            x=round(_x(axis, span.start_ns), 2),
            y=top,
            width=round(max(_x(axis, span.end_ns) - _x(axis, span.start_ns), 0.3), 2),
            height=_LANE - 2,
            colour=_phase_colour(span.name),
            name=f"{span.name}, {q.seconds((span.end_ns - span.start_ns) * _NS)} on the host",
        )


def _x(axis: TimeAxis, nanoseconds: float) -> float:
    return _LEFT + (_WIDTH - _LEFT) * nanoseconds / axis.length_ns


def _strip(axis: TimeAxis, top: float) -> list[Box]:
    below = [0.0] * len(axis.busy)
    boxes: list[Box] = []
    for name, colour, shares in (
        ("busy", "busy", axis.busy),
        *((f"idle: {cause}", f"cause-{cause}", idle) for cause, idle in axis.idle_by_cause.items()),
    ):
        boxes += _filled(axis, shares, below, top, _STRIP, colour, name)
        below = [a + b for a, b in zip(below, shares, strict=True)]
    return boxes


def _filled(
    axis: TimeAxis,
    shares: Sequence[float],
    below: Sequence[float],
    top: float,
    height: float,
    colour: str,
    name: str,
) -> Iterator[Box]:
    """Boxes from ``below`` upwards, as high as the share; equal neighbours are one."""
    levels = [
        (round(low * _LEVELS), round((low + share) * _LEVELS))
        for low, share in zip(below, shares, strict=True)
    ]
    wide = (_WIDTH - _LEFT) / len(levels)
    first = 0
    for at in range(1, len(levels) + 1):
        if at < len(levels) and levels[at] == levels[first]:
            continue
        low, high = levels[first]
        if high > low:
            yield Box(
                x=round(_LEFT + wide * first, 2),
                y=round(top + height * (1.0 - high / _LEVELS), 2),
                width=round(wide * (at - first), 2),
                height=round(height * (high - low) / _LEVELS, 2),
                colour=colour,
                name=f"{name}: {(high - low) / _LEVELS:.0%} at {_span(axis, first, at)}",
            )
        first = at


def _at(axis: TimeAxis, index: int) -> float:
    return axis.length_ns * _NS * index / len(axis.busy)


def _span(axis: TimeAxis, first: int, behind: int) -> str:
    return f"{q.seconds(_at(axis, first))} – {q.seconds(_at(axis, behind))}"


def _numbers(axis: TimeAxis) -> Texts:
    """The numbers of the gaps above their middles, where they do not run into each other."""
    placed: Texts = []
    for number, gap in enumerate(axis.gaps, 1):
        x = _x(axis, (gap.start_ns + gap.end_ns) / 2) - 3.5
        if all(abs(x - other) > 14 for other, _, _ in placed):
            placed.append((round(x, 1), 11.0, str(number)))
    return placed


# In characters and as a table ------------------------------------------------------------------


def _drawn(axis: TimeAxis) -> list[tuple[str, str]]:
    parts = stretches(len(axis.busy), _CHARACTERS)
    used = {cause: _LETTERS[cause] for cause in axis.idle_by_cause}
    means = ", ".join(f"{letter} {_LETTER_WORDS.get(c, c)}" for c, letter in used.items())
    lines = [("state", "".join(_character(axis, part) for part in parts))]
    lines += [
        (lane.name, q.sparkline([_mean(lane.busy, part) for part in parts], top=1.0))
        for lane in (*axis.streams, *axis.threads)
    ]
    ends = f"0 to {q.seconds(axis.length_ns * _NS)}; █ mostly busy"
    return [*lines, ("", f"{ends}; mostly idle by cause: {means}" if used else ends)]


def _mean(values: Sequence[float], part: Sequence[int]) -> float:
    return sum(values[at] for at in part) / len(part)


def _character(axis: TimeAxis, part: Sequence[int]) -> str:
    if _mean(axis.busy, part) >= 0.5:
        return "█"
    causes = {cause: _mean(idle, part) for cause, idle in axis.idle_by_cause.items()}
    return _LETTERS[max(causes, key=lambda cause: causes[cause])] if causes else " "


def _table(axis: TimeAxis) -> Table:
    lanes = (*axis.streams, *axis.threads)
    rows = []
    for part in stretches(len(axis.busy), _ROWS):
        causes = {cause: _mean(idle, part) for cause, idle in axis.idle_by_cause.items()}
        largest = max(causes, key=lambda cause: causes[cause], default=None)
        rows.append(
            [
                word(
                    f"{q.seconds(_at(axis, part[0]), 2)} – {q.seconds(_at(axis, part[-1] + 1), 2)}"
                ),
                _share(_mean(axis.busy, part)),
                word(largest) if largest and causes[largest] else none("it did not idle"),
                *(_share(_mean(lane.busy, part)) for lane in lanes),
            ]
        )
    columns = heads(
        "from – to", "busy", "mainly idle", *((lane.name, lane.name, DETAIL) for lane in lanes)
    )
    return Table(caption="Over time", columns=columns, rows=rows)


def _share(value: float) -> Cell:
    return Cell(text=q.share(value), method=_SLICE)


# Gaps -------------------------------------------------------------------------------------------


def _gaps(axis: TimeAxis) -> Table:
    rows = [
        [
            word(number),
            _time(gap.start_ns),
            _time(gap.end_ns - gap.start_ns),
            _cause(gap),
            named(gap.ended_by, _LONGEST_NAME),
            named(gap.launched_by, _LONGEST_NAME)
            if gap.launched_by
            else none("no operator around the launch"),
            word(gap.phase),
        ]
        for number, gap in enumerate(axis.gaps, 1)
    ]
    columns = heads(
        "gap", "start", "length", "cause", "ended by",
        ("launched by", "launched by", USEFUL), ("phase", "phase", DETAIL),
    )  # fmt: skip
    if all(gap.launched_by is None for gap in axis.gaps):
        columns, rows = columns[:5] + columns[6:], [row[:5] + row[6:] for row in rows]
    return Table(
        caption="The largest gaps",
        columns=columns,
        rows=rows,
        ranks=[0 if at < _FIRST_GAPS else DETAIL for at in range(len(rows))],
    )


def _time(nanoseconds: int) -> Cell:
    return Cell(text=q.seconds(nanoseconds * _NS), method="exact: since the axis begins")


def _cause(gap: IdleGap) -> Cell:
    mixed = "" if gap.cause_share >= 0.995 else f" {gap.cause_share:.0%}"
    return word(f"{gap.cause}{mixed}")
