"""What a page is made of, as plain data. Each block names the template that writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from seqprof.reports.html.plots import Plot
from seqprof.reports.quantities import NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number or word of a table.

    Attributes:
        method: how the number was obtained; None for words.
        reason: why there is no number; None where there is one.
        tone: ``best``, ``worst``, ``good``, ``bad`` or nothing.
        full: what ``text`` is short for, to be opened; only of a cell that names its row.
    """

    text: str
    method: str | None = None
    reason: str | None = None
    tone: str = ""
    full: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells; the first column names the row. Reasons and methods become notes below it.

    Attributes:
        by_row: a quantity is a row, not a column.
        remarks: more that a reader must know.
    """

    template: ClassVar[str] = "table.html.j2"

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    remarks: Sequence[str] = ()
    by_row: bool = False

    @property
    def marks(self) -> dict[str, int]:
        """Each reason why a value is missing, with the mark that stands beside its dashes."""
        reasons = dict.fromkeys(c.reason for row in self.rows for c in row if c.reason)
        return {reason: number for number, reason in enumerate(reasons, 1) if reason}

    @property
    def worded(self) -> set[int]:
        """Columns that hold words alone: they are read from the left, not by their last digit."""
        if self.by_row:
            return set()
        texts = {
            index: "".join(row[index].text for row in self.rows).replace(NOTHING, "")
            for index in range(1, len(self.columns))
        }
        return {
            index
            for index, text in texts.items()
            if text and not any(character.isdigit() for character in text)
        }

    @property
    def methods(self) -> list[tuple[str, str]]:
        """Each quantity that holds numbers, with the methods that gave them."""
        found = []
        for name, cells in self._quantities():
            methods = dict.fromkeys(c.method for c in cells if c.method and c.text != NOTHING)
            if methods:
                found.append((name, "; ".join(str(method) for method in methods)))
        return found

    def _quantities(self) -> list[tuple[str, Sequence[Cell]]]:
        if self.by_row:
            return [(row[0].text, row[1:]) for row in self.rows]
        columns = zip(*self.rows, strict=True)
        return list(zip(self.columns, columns, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Paragraphs; ``command`` is shown below them, to be copied."""

    template: ClassVar[str] = "prose.html.j2"

    lines: Sequence[str]
    command: str | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Labels and what belongs to them."""

    template: ClassVar[str] = "facts.html.j2"

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The few numbers that a reader came for, each with its method."""

    template: ClassVar[str] = "headline.html.j2"

    figures: Sequence[tuple[str, Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """One caveat: what is wrong, what shows it, what to do."""

    severity: str
    text: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveats:
    """All caveats, the gravest first."""

    template: ClassVar[str] = "caveats.html.j2"

    caveats: Sequence[Warned]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a bar. ``colour`` is a class of the style sheet."""

    name: str
    value: float
    text: str
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A piece at its place in the drawing, in per cent of the width."""

    part: Part
    left: str
    width: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stacked bar."""

    name: str
    text: str
    parts: Sequence[Part]


#: Narrower pieces, in per cent, bear no label; the legend and the table name them.
LABELLED = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Stacked bars on one scale, drawn without a script."""

    template: ClassVar[str] = "bars.html.j2"

    caption: str
    bars: Sequence[Bar]

    @property
    def legend(self) -> dict[str, str]:
        """Each piece's name and colour, once."""
        return {part.name: part.colour for bar in self.bars for part in bar.parts}

    def placed(self, bar: Bar) -> list[Placed]:
        """Return where the pieces of ``bar`` lie."""
        whole = max(sum(part.value for part in other.parts) for other in self.bars) or 1.0
        at, found = 0.0, []
        for part in bar.parts:
            width = 100.0 * part.value / whole
            found.append(
                Placed(
                    part=part,
                    left=f"{at:.3f}%",
                    width=f"{width:.3f}%",
                    label=part.name if width >= LABELLED else "",
                )
            )
            at += width
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A ratio with its interval; places are per cent of the axis of a :class:`Forest`."""

    name: str
    text: str
    at: str
    start: str
    width: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number on an axis; a ``fine`` one only where there is room for it."""

    text: str
    at: str
    fine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Ratios to 1 with their intervals, one below the other, on a logarithmic axis."""

    template: ClassVar[str] = "forest.html.j2"

    caption: str
    label: str
    spans: Sequence[Span]
    ticks: Sequence[Tick]
    one: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A plot that the page's scripts draw, with the same as a table.

    Attributes:
        label: what it shows, in words, for who cannot see it.
        table: the alternative; at most a few dozen rows.
    """

    template: ClassVar[str] = "chart.html.j2"

    title: str
    label: str
    plot: Plot
    table: Table
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What only some readers want, behind a line that opens it."""

    template: ClassVar[str] = "folded.html.j2"

    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """Text as it is, as a spec."""

    template: ClassVar[str] = "verbatim.html.j2"

    text: str


Block: TypeAlias = (
    Table | Prose | Facts | Headline | Caveats | Bars | Forest | Chart | Folded | Verbatim
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One result."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def word(text: object, tone: str = "") -> Cell:
    """Return a cell that is no number."""
    return Cell(text=str(text), tone=tone)


def none(reason: str) -> Cell:
    """Return a dash with its reason."""
    return Cell(text=NOTHING, reason=reason)
