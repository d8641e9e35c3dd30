"""What a report is made of, as plain data; a renderer turns any block into text or a page.

What is said, in which order, with how many digits, what is best, what is doubtful: the functions
decide that make a :class:`Document`. A renderer only decides what fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from seqprof.reports.plots import Box, Plot
from seqprof.reports.quantities import NOTHING

#: Ranks of columns and rows: always shown; shown on the first screen if there is room; shown only
#: where everything is.
ESSENTIAL, USEFUL, DETAIL = 0, 1, 2


class View(Struct, frozen=True, kw_only=True):
    """What of a result a reader asked for, beyond the format.

    Attributes:
        full: everything; without it a document may leave out what no first screen shows.
        path: the longest chain of operations stands open (depth).
        kernels: how many kernels or operators a table lists (trace); None: as many as it suits.
    """

    full: bool = True
    path: bool = False
    kernels: int | None = None


class Cell(Struct, frozen=True, kw_only=True):
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


class Column(Struct, frozen=True, kw_only=True):
    """The head of a column.

    Attributes:
        short: the head where there is little room; it may break into lines.
        rank: ``ESSENTIAL``, ``USEFUL`` or ``DETAIL``: which column gives way first.
        sentences: its cells are read from the left, and may break into lines.
    """

    name: str
    short: str = ""
    rank: int = ESSENTIAL
    sentences: bool = False

    @property
    def head(self) -> str:
        """The head where there is little room."""
        return self.short or self.name


class Table(Struct, frozen=True, kw_only=True):
    """Rows of cells; the first column names the row. Reasons and methods become notes below it.

    Attributes:
        remarks: more that a reader must know.
        by_row: a quantity is a row, not a column; more columns than fit make several tables.
        ranks: of the rows, like those of columns; none: all are essential.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    remarks: Sequence[str] = ()
    by_row: bool = False
    ranks: Sequence[int] = ()

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
            if self.columns[index].sentences
            or (text and not any(character.isdigit() for character in text))
        }

    @property
    def methods(self) -> list[tuple[str, str]]:
        """Each quantity that holds numbers, with the methods that gave them."""
        named = []
        for name, cells in self.quantities():
            methods = dict.fromkeys(c.method for c in cells if c.method and c.text != NOTHING)
            if methods:
                named.append((name, "; ".join(str(method) for method in methods)))
        return named

    @property
    def obtained(self) -> list[tuple[str, str]]:
        """Each way in which numbers were obtained, with the quantities that it concerns.

        A way that all of them share is named without them.
        """
        grouped: dict[str, list[str]] = {}
        for name, method in self.methods:
            grouped.setdefault(method, []).append(name)
        if len(grouped) == 1:
            return [("", method) for method in grouped]
        return [(", ".join(names), method) for method, names in grouped.items()]

    @property
    def absent(self) -> list[tuple[str, str]]:
        """Each reason why values are missing, with the quantities that it concerns."""
        grouped: dict[str, dict[str, None]] = {}
        for name, cells in self.quantities():
            for cell in cells:
                if cell.reason:
                    grouped.setdefault(cell.reason, {})[name] = None
        return [(", ".join(names), reason) for reason, names in grouped.items()]

    def quantities(self) -> list[tuple[str, Sequence[Cell]]]:
        """Return each quantity's name with its cells: rows or columns."""
        if self.by_row:
            return [(row[0].text, row[1:]) for row in self.rows]
        names = [column.name for column in self.columns]
        columns = zip(*self.rows, strict=True)
        return list(zip(names, columns, strict=False))

    def up_to(self, rank: int) -> Table:
        """Return the table without the columns and rows beyond ``rank``."""
        at = [index for index, column in enumerate(self.columns) if column.rank <= rank]
        ranks = self.ranks or [ESSENTIAL] * len(self.rows)
        return Table(
            caption=self.caption,
            columns=[self.columns[index] for index in at],
            rows=[
                [row[index] for index in at]
                for row, own in zip(self.rows, ranks, strict=True)
                if own <= rank
            ],
            remarks=self.remarks,
            by_row=self.by_row,
        )

    @property
    def deepest(self) -> int:
        """The largest rank of a row or column."""
        return max([column.rank for column in self.columns] + list(self.ranks), default=0)


class Prose(Struct, frozen=True, kw_only=True):
    """Paragraphs; ``command`` is shown below them, to be copied.

    Attributes:
        tone: ``answer`` (what the reader came for), ``doubt`` (before it, where the figures are
            not to be trusted yet), ``warning``, ``quiet`` or nothing.
    """

    lines: Sequence[str]
    command: str | None = None
    tone: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """Labels and what belongs to them."""

    pairs: Sequence[tuple[str, str]]


class Headline(Struct, frozen=True, kw_only=True):
    """The few numbers that a reader came for, each with its method."""

    figures: Sequence[tuple[str, Cell]]


class Warned(Struct, frozen=True, kw_only=True):
    """One caveat or finding: what is wrong, what shows it, what to do."""

    severity: str
    text: str
    evidence: str
    remedy: str


class Caveats(Struct, frozen=True, kw_only=True):
    """Some caveats, the gravest first."""

    caveats: Sequence[Warned]


class Part(Struct, frozen=True, kw_only=True):
    """A piece of a bar. ``colour`` is a class of the style sheet."""

    name: str
    value: float
    text: str
    colour: str


class Bar(Struct, frozen=True, kw_only=True):
    """One stacked bar."""

    name: str
    text: str
    parts: Sequence[Part]


class Bars(Struct, frozen=True, kw_only=True):
    """Stacked bars on one scale, drawn without a script."""

    caption: str
    bars: Sequence[Bar]

    @property
    def legend(self) -> dict[str, str]:
        """Each piece's name and colour, once."""
        return {part.name: part.colour for bar in self.bars for part in bar.parts}

    @property
    def whole(self) -> float:
        """The longest bar."""
        return max((sum(part.value for part in bar.parts) for bar in self.bars), default=0.0) or 1.0


class Span(Struct, frozen=True, kw_only=True):
    """A ratio to 1 with its 95 % interval; ``low`` and ``high`` are None where none is known."""

    name: str
    text: str
    value: float
    low: float | None
    high: float | None
    tone: str = ""


class Forest(Struct, frozen=True, kw_only=True):
    """Ratios with their intervals, one below the other, on a logarithmic axis around 1."""

    caption: str
    label: str
    spans: Sequence[Span]


class Chart(Struct, frozen=True, kw_only=True):
    """A plot, with the same as a table; a terminal draws it by characters.

    Attributes:
        label: what it shows, in words, for who cannot see it.
        table: the alternative; at most a few dozen rows.
    """

    title: str
    label: str
    plot: Plot
    table: Table
    remarks: Sequence[str] = ()


class Picture(Struct, frozen=True, kw_only=True):
    """A drawing to scale, for pages and files; everyone else gets its lines or its table.

    Attributes:
        label: what it shows, in words, for who cannot see it.
        legend: names and their colours.
        drawn: the same in characters, as a label and text each; none: only the table.
        links, texts: from (x, y) to (x, y); (x, y, words), which begin at x.
        table: the alternative.
    """

    title: str
    label: str
    width: float
    height: float
    boxes: Sequence[Box]
    table: Table
    links: Sequence[tuple[float, float, float, float]] = ()
    texts: Sequence[tuple[float, float, str]] = ()
    remarks: Sequence[str] = ()
    legend: Sequence[tuple[str, str]] = ()
    drawn: Sequence[tuple[str, str]] = ()


class Verbatim(Struct, frozen=True, kw_only=True):
    """Text as it is, as a spec."""

    text: str


class Folded(Struct, frozen=True, kw_only=True):
    """What only some readers want, behind a line that opens it."""

    summary: str
    blocks: Sequence[Block]


Where: TypeAlias = Literal["page", "screen", "detail", "terminal", "written"]


class Only(Struct, frozen=True, kw_only=True):
    """Blocks for some readers.

    Attributes:
        where: ``page`` (HTML), ``screen`` (the first screen of a terminal, and Markdown),
            ``detail`` (everywhere but there), ``terminal`` (its first screen alone) or ``written``
            (everywhere but there).
    """

    where: Where
    blocks: Sequence[Block]


_Words: TypeAlias = Prose | Facts | Headline | Caveats | Verbatim
_Drawn: TypeAlias = Bars | Forest | Chart | Picture
Block: TypeAlias = Table | _Words | _Drawn | Folded | Only


class Section(Struct, frozen=True, kw_only=True):
    """A heading and what stands below it; without a title it goes on from what is above.

    Attributes:
        rank: ``ESSENTIAL`` on the first screen, ``DETAIL`` only where everything is.
        name: what a link to it says, where it has no title.
    """

    title: str
    blocks: Sequence[Block]
    rank: int = ESSENTIAL
    name: str = ""


class Document(Struct, frozen=True, kw_only=True):
    """One result.

    Attributes:
        line: all of it in one line, as `-q` prints it.
        handout: whether a page of it prints as two sheets, without its details.
    """

    title: str
    subtitle: str
    line: str
    sections: Sequence[Section] = ()
    handout: bool = False


def word(text: object, tone: str = "") -> Cell:
    """Return a cell that is no number."""
    return Cell(text=str(text), tone=tone)


def none(reason: str) -> Cell:
    """A dash with its reason."""
    return Cell(text=NOTHING, reason=reason)


def heads(*names: str | tuple[str, str] | tuple[str, str, int]) -> list[Column]:
    """Return heads of columns: a name, or (name, short name), or (name, short name, rank)."""
    return [Column(name=name) if isinstance(name, str) else _column(*name) for name in names]


def _column(name: str, short: str, rank: int = ESSENTIAL) -> Column:
    return Column(name=name, short=short, rank=rank)


def blocks_for(blocks: Sequence[Block], *shown: Where) -> Iterator[Block]:
    """Yield the blocks for these readers, those of :class:`Only` among the others."""
    for block in blocks:
        if not isinstance(block, Only):
            yield block
        elif block.where in shown:
            yield from blocks_for(block.blocks, *shown)
