"""The pictures of `seqprof explain`: timesteps over time, and the first operations as a graph."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.explain.facts import Cascade, FirstTimesteps
from seqprof.analysis.explain.summary import Explanation
from seqprof.analysis.scale.summary import Point
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import Cell, Picture, Table, heads, word
from seqprof.reports.plots import Box

#: Of a picture, in its own units: whole width, room at the left, a cascade and a block.
_WIDTH, _LEFT, _CASCADE, _BLOCK, _BUSY, _GAP = 760.0, 110.0, 200.0, 26.0, 26.0, 12.0
#: Room for a letter.
_LETTER = 8.0
#: Timesteps that the table beside the picture lists.
_LISTED = 16
#: A graph of more operations than this would be a grey cloud.
_MOST_OPERATIONS = 300
Texts = list[tuple[float, float, str]]


def cascade_picture(explanation: Explanation) -> Picture | None:
    """Return the timesteps of one step over time, and the others' passes to the same scale."""
    cascade, others = explanation.facts.cascade, _others(explanation)
    if cascade.reason is not None:
        return None
    end = max([cascade.ended_at_s, *(_both(point) for point in others)])
    scale = (_WIDTH - _LEFT) / end if end > 0.0 else 0.0
    boxes = _timesteps(cascade, scale)
    first = explanation.facts.candidates[0].label
    texts: Texts = [(0.0, _CASCADE / 2, first), (0.0, _CASCADE / 2 + 16, "t downwards")]
    top = _CASCADE + _GAP
    strip = _busy(explanation, cascade, scale, top)
    if strip:
        boxes += strip
        texts.append((0.0, top + _BUSY / 2 + 4, f"{_what_is_busy(explanation)} busy"))
        top += _BUSY + _GAP
    for point in others:
        boxes += _passes(point, scale, top)
        texts.append((0.0, top + _BLOCK / 2 + 4, point.label))
        top += _BLOCK + _GAP
    texts += _times(end, top + 6)
    return Picture(
        title=f"One training step, T = {len(cascade.forward_s):,}, to scale",
        label=f"{first}: {len(cascade.forward_s):,} timesteps one after the other, forward "
        f"downwards from t = 0, then their gradients back up, {q.seconds(cascade.ended_at_s)} in "
        "all. "
        + " ".join(
            [*(f"{p.label}: one block, {_in_words(p)}." for p in others), *_busy_words(explanation)]
        ),
        width=_WIDTH,
        height=top + 14,
        boxes=boxes,
        texts=texts,
        legend=[("forward", "forward"), ("backward (BPTT)", "backward")],
        table=_cascade_table(cascade),
        remarks=[
            f"{first}: each timestep of {cascade.module} by the {cascade.clock}'s clock in one "
            f"step with hooks{_as_loop(explanation)}{_when_launched(explanation)}. "
            "Others: medians of forward and backward at the same T and batch, without hooks."
        ],
    )


def _times(end: float, y: float) -> Texts:
    """The axis below: quarters of the whole."""
    width = _WIDTH - _LEFT
    inner = [(_LEFT + width * part / 4 - 14, y, q.seconds(end * part / 4)) for part in (1, 2, 3)]
    last = q.seconds(end)
    return [(_LEFT, y, "0"), *inner, (_WIDTH - _LETTER * len(last), y, last)]


def _as_loop(explanation: Explanation) -> str:
    """Say that it is drawn in another form than its times are of."""
    scaling, run = explanation.facts.scaling, explanation.facts.run
    if scaling is None or run is None:
        return ""
    timed, drawn = (r.trials[0].workload.execution for r in (scaling, run))
    return f", as {drawn}; its times elsewhere are of the {timed} form" if timed != drawn else ""


def _when_launched(explanation: Explanation) -> str:
    """Say what the host's clock tells of an accelerator, in a document that has no other."""
    by_host = explanation.facts.cascade.clock == "host"
    on_device = _what_is_busy(explanation) == "device"
    return "; that is when it was launched, not when it ran" if by_host and on_device else ""


def _what_is_busy(explanation: Explanation) -> str:
    idle = () if explanation.run is None else explanation.run.idle
    return "device" if idle and idle[0].on_device else "cores"


def _shares(explanation: Explanation) -> dict[str, float]:
    """Return how busy the device, or the cores that stand in for it, are in both passes."""
    idle = () if explanation.run is None else explanation.run.idle
    return {
        part.phase: part.busy.value
        for part in idle
        if part.phase in ("forward", "backward") and part.busy.value is not None
    }


def _busy_words(explanation: Explanation) -> list[str]:
    shares = _shares(explanation)
    if not shares:
        return []
    said = ", ".join(f"{share:.0%} in {phase}" for phase, share in shares.items())
    what = _what_is_busy(explanation)
    return [f"The {what} {'is' if what == 'device' else 'are'} busy {said}."]


def _busy(explanation: Explanation, cascade: Cascade, scale: float, top: float) -> list[Box]:
    """A strip along the passes, as high as all that could be busy; filled as far as it is."""
    passes = {
        "forward": (cascade.forward_s[0][0], cascade.backward_at_s),
        "backward": (cascade.backward_at_s, cascade.ended_at_s),
    }
    boxes = []
    for phase, share in _shares(explanation).items():
        start, end = passes[phase]
        name = f"{_what_is_busy(explanation)} busy in {phase}: {share:.0%}"
        boxes.append(_box(start, end, top, _BUSY, scale, "all", name))
        filled = _BUSY * min(1.0, share)
        boxes.append(_box(start, end, top + _BUSY - filled, filled, scale, "busy", name))
    return boxes


def _others(explanation: Explanation) -> list[Point]:
    if explanation.scaled is None:
        return []
    labels = [one.label for one in explanation.facts.candidates[1:]]
    return [
        point
        for point in explanation.scaled.points
        if point.label in labels
        and (point.timesteps, point.batch_size) == explanation.facts.base
        and point.forward.value is not None
        and point.backward.value is not None
    ]


def _both(point: Point) -> float:
    return (point.forward.value or 0.0) + (point.backward.value or 0.0)


def _in_words(point: Point) -> str:
    return f"forward {q.time(point.forward)}, backward {q.time(point.backward)}"


def _timesteps(cascade: Cascade, scale: float) -> list[Box]:
    """A box for each timestep, as long as it lasts: until the next one, or the pass, ends."""
    height = _CASCADE / max(1, len(cascade.forward_s))
    boxes = []
    for t, (start, end) in enumerate(cascade.forward_s):
        name = f"t = {t}, forward: {q.seconds(start)} to {q.seconds(end)}"
        boxes.append(_box(start, end, t * height, height, scale, "forward", name))
    previous = cascade.backward_at_s
    for t in reversed(range(len(cascade.gradient_s))):
        came = cascade.gradient_s[t]
        if came is None:
            continue
        name = f"t = {t}, backward: its gradient at {q.seconds(came)}"
        boxes.append(_box(previous, came, t * height, height, scale, "backward", name))
        previous = max(previous, came)
    return boxes


def _box(
    start: float, end: float, y: float, height: float, scale: float, colour: str, name: str
) -> Box:
    left, right = min(start, end), max(start, end)
    return Box(
        x=round(_LEFT + left * scale, 2),
        y=round(y, 2),
        width=round(max(0.4, (right - left) * scale), 2),
        height=round(height, 2),
        colour=colour,
        name=name,
    )


def _passes(point: Point, scale: float, top: float) -> list[Box]:
    forward, backward = point.forward.value or 0.0, point.backward.value or 0.0
    return [
        _box(0.0, forward, top, _BLOCK, scale, "forward", f"{point.label}: {_in_words(point)}"),
        _box(forward, forward + backward, top, _BLOCK, scale, "backward", _in_words(point)),
    ]


def _cascade_table(cascade: Cascade) -> Table:
    count, clock = len(cascade.forward_s), f"{cascade.clock} clock, in one training step"
    listed = range(0, count, max(1, count // _LISTED))
    rows = [
        [
            word(str(t)),
            Cell(text=q.seconds(cascade.forward_s[t][0]), method=clock),
            Cell(text=q.seconds(cascade.forward_s[t][1]), method=clock),
            cells.seconds(cascade.gradient_s[t], clock, "no gradient came"),
        ]
        for t in listed
    ]
    columns = heads("timestep", "forward from", "forward until", "its gradient came")
    return Table(caption="Some of the timesteps", columns=columns, rows=rows)


def longest_chain(first: FirstTimesteps | None) -> int:
    """Return how many operations the longest chain of a picture has; 0 where there is none."""
    if first is None or not first.names or len(first.names) > _MOST_OPERATIONS:
        return 0
    return max(_levels(first.sources))


def graph_picture(label: str, first: FirstTimesteps | None, columns: int = 0) -> Picture | None:
    """Return the forward's operations of the first timesteps, each right of those that it reads.

    Args:
        columns: operations that fit side by side, so that several pictures have one scale.
    """
    depth = longest_chain(first)
    if first is None or not depth:
        return None
    levels = _levels(first.sources)
    chain = _one_chain(first.sources, levels)
    in_level: list[int] = []
    counts: dict[int, int] = {}
    for level in levels:
        in_level.append(counts.get(level, 0))
        counts[level] = in_level[-1] + 1
    column, row = (_WIDTH - 20) / max(depth, columns), 16.0
    size = min(column * 0.6, 10.0)
    places = [
        (10 + (level - 0.5) * column, 12 + slot * row)
        for level, slot in zip(levels, in_level, strict=True)
    ]
    boxes = [
        Box(
            x=round(x - size / 2, 2),
            y=round(y - 5, 2),
            width=round(size, 2),
            height=10.0,
            colour="forward" if number in chain else "busy",
            name=name,
        )
        for number, ((x, y), name) in enumerate(zip(places, first.names, strict=True))
    ]
    links = [
        tuple(round(v, 2) for v in (*places[source], *places[number]))
        for number, sources in enumerate(first.sources)
        for source in sources
    ]
    widest = max(counts.values())
    return Picture(
        title=f"{label}: operations of the first {first.timesteps} timesteps",
        label=f"{len(first.names)} operations of the forward of {label} over {first.timesteps} "
        f"timesteps; each stands right of those that it reads. The longest chain has {depth}, at "
        f"most {widest} stand below each other.",
        width=_WIDTH,
        height=24 + widest * row,
        boxes=boxes,
        links=links,  # type: ignore[arg-type]
        legend=[("the longest chain", "forward"), ("operations beside it", "busy")],
        table=_graph_table(first, levels),
    )


def _levels(sources: Sequence[tuple[int, ...]]) -> list[int]:
    levels: list[int] = []
    for own in sources:
        levels.append(1 + max((levels[source] for source in own), default=0))
    return levels


def _one_chain(sources: Sequence[tuple[int, ...]], levels: Sequence[int]) -> set[int]:
    """Return the operations of one longest chain, from its last on."""
    at = max(range(len(levels)), key=levels.__getitem__)
    chain = {at}
    while sources[at]:
        at = max(sources[at], key=levels.__getitem__)
        chain.add(at)
    return chain


def _graph_table(first: FirstTimesteps, levels: Sequence[int]) -> Table:
    by_level: dict[int, list[str]] = {}
    for level, name in zip(levels, first.names, strict=True):
        by_level.setdefault(level, []).append(name)
    rows = [[word(str(level)), word(", ".join(by_level[level]))] for level in sorted(by_level)]
    columns = heads("place in the chain", "operations that can run at once")
    return Table(caption="Operations by their place in the chain", columns=columns, rows=rows)
