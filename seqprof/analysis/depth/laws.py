"""The exact law behind a few counts: constant, a·log2 T + b, a·T + b, a·T² …

Counts of operations are integers, so a law either passes through every point exactly or it is not
the law. All arithmetic is rational; nothing is fitted by tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd
from typing import Annotated

from msgspec import Meta


def _log2_up(timesteps: int) -> int:
    return (timesteps - 1).bit_length()


def _log2_down(timesteps: int) -> int:
    return timesteps.bit_length() - 1


_TERMS: dict[str, Callable[[int], int]] = {
    "T²": lambda t: t * t,
    "T·⌈log2 T⌉": lambda t: t * _log2_up(t),
    "T": lambda t: t,
    "⌈log2 T⌉": _log2_up,
    "⌊log2 T⌋": _log2_down,
    "1": lambda t: 1,
}
#: Tried in this order: the fewer terms and the slower the growth, the earlier.
_FORMS: tuple[tuple[str, ...], ...] = (
    ("1",),
    ("⌈log2 T⌉", "1"),
    ("⌊log2 T⌋", "1"),
    ("T", "1"),
    ("T", "⌈log2 T⌉", "1"),
    ("T", "⌊log2 T⌋", "1"),
    ("T·⌈log2 T⌉", "T", "1"),
    ("T²", "T", "1"),
)
#: Points beyond those that determine a form, which must confirm it.
_CONFIRMATIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How a count depends on T."""

    text: Annotated[str | None, Meta(description="as in 18·T + 5; null where no law is exact")]
    coefficients: Annotated[
        dict[str, float], Meta(description="term to coefficient; exact, or empty")
    ] = field(default_factory=dict)
    holds_from: Annotated[
        int | None, Meta(description="smallest T that was tried from which on it is exact")
    ] = None
    powers_of_two_only: Annotated[
        bool, Meta(description="exact where T is a power of two; other T pad or split unevenly")
    ] = False
    multiples_of: Annotated[
        int | None, Meta(description="exact where T is a multiple of this; null where T may be any")
    ] = None
    reason: Annotated[str | None, Meta(description="why there is none, with the best misfit")] = (
        None
    )

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if set(self.coefficients) - set(_TERMS):
            raise ValueError("A term that no law has")

    def at(self, timesteps: int) -> float | None:
        """Return the count that the law gives for T; None where it has none to give."""
        if self.text is None or self.holds_from is None or timesteps < self.holds_from:
            return None
        if self.powers_of_two_only and not _is_power_of_two(timesteps):
            return None
        if self.multiples_of is not None and timesteps % self.multiples_of:
            return None
        total = sum(
            Fraction(value).limit_denominator(_LARGEST_DENOMINATOR) * _TERMS[term](timesteps)
            for term, value in self.coefficients.items()
        )
        return float(total)

    @property
    def any_length(self) -> bool:
        """Whether it is exact at every T, from some T on."""
        return not self.powers_of_two_only and self.multiples_of is None

    @property
    def holds(self) -> str:
        """Where it is exact, in words; or why there is no law."""
        if self.text is None:
            return self.reason or "no exact law"
        start = "from some T on" if self.holds_from is None else f"from T = {self.holds_from}"
        where = f"exact {start}"
        if self.powers_of_two_only:
            return f"{where} at powers of two"
        of = self.multiples_of
        return where if of is None else f"{where} at multiples of {of}"


#: Coefficients are ratios of small numbers (operations per chunk of timesteps).
_LARGEST_DENOMINATOR = 100_000


def fit_law(counts: Mapping[int, int], chunk: int | None = None) -> Law:
    """Return the simplest law through ``counts`` (T to count), exact from some T on.

    A few shortest lengths may differ (a gradient not yet added to another); they are left out, as
    long as two points more remain than the law has coefficients. Where no law holds for all T, one
    for whole chunks is looked for, then one for the powers of two: others are padded or split
    unevenly. A law that is seen at multiples of some number alone claims no others.

    Args:
        chunk: timesteps that the model takes at once, where it is known to take them so.
    """
    points = sorted(counts.items())
    whole = [(t, n) for t, n in points if chunk is not None and t % chunk == 0]
    powers = [(t, n) for t, n in points if _is_power_of_two(t)]
    some = [kind for kind in (whole, powers) if len(kind) < len(points)]
    for tried in (points, *some):
        for start in range(len(tried)):
            rest = tried[start:]
            if tried is points and any(set(rest) <= set(kind) for kind in some):
                break  # nothing but lengths of one kind is left: those below belong to them
            law = _through(rest, only_powers=tried is powers)
            if law is not None:
                return law
    return Law(text=None, reason=_nearest(points))


def _through(points: Sequence[tuple[int, int]], *, only_powers: bool) -> Law | None:
    """Return the simplest form that passes through all ``points``."""
    for form in _FORMS:
        if len(points) < len(form) + _CONFIRMATIONS:
            continue
        solved = _solve(form, points)
        # No graph shrinks as T grows: a falling law is a coincidence of few points.
        if solved is None or (len(form) > 1 and solved[0] <= 0):
            continue
        if _misfit(form, solved, points) == 0:
            return _law(form, solved, points, only_powers=only_powers)
    return None


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _solve(form: Sequence[str], points: Sequence[tuple[int, int]]) -> list[Fraction] | None:
    """Solve for the coefficients by points spread over the range; None where that is singular."""
    unknowns = len(form)
    chosen = [points[i * (len(points) - 1) // max(1, unknowns - 1)] for i in range(unknowns)]
    rows = [[Fraction(_TERMS[term](t)) for term in form] + [Fraction(n)] for t, n in chosen]
    for column in range(unknowns):
        pivot = next((r for r in range(column, unknowns) if rows[r][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for other in range(unknowns):
            factor = rows[other][column]
            if other != column and factor:
                rows[other] = [
                    value - factor * base
                    for value, base in zip(rows[other], rows[column], strict=True)
                ]
    return [row[-1] for row in rows]


def _value(form: Sequence[str], solved: Sequence[Fraction], timesteps: int) -> Fraction:
    terms = zip(form, solved, strict=True)
    return sum((c * _TERMS[term](timesteps) for term, c in terms), Fraction(0))


def _misfit(
    form: Sequence[str], solved: Sequence[Fraction], points: Sequence[tuple[int, int]]
) -> Fraction:
    """Return the largest relative distance of a point from the form."""
    return max(abs(_value(form, solved, t) - n) / max(1, abs(n)) for t, n in points)


def _law(
    form: Sequence[str],
    solved: Sequence[Fraction],
    points: Sequence[tuple[int, int]],
    *,
    only_powers: bool,
) -> Law:
    coefficients = {term: value for term, value in zip(form, solved, strict=True) if value}
    only_powers |= all(_is_power_of_two(t) for t, _ in points)
    common = gcd(*(t for t, _ in points))
    return Law(
        text=_formula(coefficients, only_powers),
        coefficients={term: float(value) for term, value in coefficients.items()},
        holds_from=points[0][0],
        powers_of_two_only=only_powers,
        multiples_of=common if common > 1 and not only_powers else None,
    )


def _formula(terms: Mapping[str, Fraction], powers_of_two: bool) -> str:
    """Write the terms; at powers of two alone, rounding of the logarithm cannot be told."""
    text = ""
    for term, value in terms.items():
        name = term
        if powers_of_two:
            name = name.translate(str.maketrans("", "", "⌈⌉⌊⌋"))
        size = abs(value)
        part = str(size) if term == "1" else name if size == 1 else f"{size}·{name}"
        sign = "-" if value < 0 else "+"
        text += f" {sign} {part}" if text else (f"-{part}" if value < 0 else part)
    return text or "0"


def _nearest(points: Sequence[tuple[int, int]]) -> str:
    if len(points) < 1 + _CONFIRMATIONS:
        count = "one length is" if len(points) == 1 else f"{len(points)} lengths are"
        return f"{count} too few to tell a law"
    best: tuple[Fraction, Sequence[str], list[Fraction]] | None = None
    for form in _FORMS:
        solved = _solve(form, points) if len(points) > len(form) else None
        if solved is None:
            continue
        misfit = _misfit(form, solved, points)
        if best is None or misfit < best[0]:
            best = (misfit, form, solved)
    if best is None:
        return "no exact law"
    rounded = {
        term: Fraction(f"{float(value):.3g}") for term, value in zip(best[1], best[2], strict=True)
    }
    decimals = " + ".join(
        f"{float(value):g}" if term == "1" else f"{float(value):g}·{term}"
        for term, value in rounded.items()
        if value
    )
    shown = decimals.replace("+ -", "- ")
    return f"no exact law; nearest {shown}, which misses by up to {float(best[0]):.1%}"
