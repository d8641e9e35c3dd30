"""A log-log plot in plain characters, for terminals and logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

#: Of more curves than marks the last ones are not drawn, and the key says so.
MARKS = "ox+*#@%&ABCDEFGHIJKLMNOPQRSTUVWYZ"
#: Room for the numbers of the axis at the left.
_MARGIN = 10


def plot(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_name: str,
    y_name: str,
    width: int = 80,
    height: int = 15,
) -> list[str]:
    """Return the lines of a plot with logarithmic axes, plain ASCII, no wider than ``width``.

    Args:
        curves: name → points (x, y), all positive.
        x_name: label of the horizontal axis.
        y_name: label of the vertical axis, with its unit.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return []
    columns = max(10, width - _MARGIN - 2)
    x = _Axis([x for x, _ in points], columns)
    y = _Axis([y for _, y in points], height)
    grid = [[" "] * columns for _ in range(height)]
    for mark, curve in zip(MARKS, curves.values(), strict=False):
        for at, value in curve:
            row, column = height - 1 - y.place(value), x.place(at)
            grid[row][column] = mark if grid[row][column] in (" ", mark) else "="
    ends = {0: y.high, height - 1: y.low, (height - 1) // 2: y.at((height - 1) - (height - 1) // 2)}
    lines = [y_name]
    for index, cells in enumerate(grid):
        label = f"{ends[index]:.3g}" if index in ends else ""
        lines.append(f"{label:>{_MARGIN - 2}} |{''.join(cells)}".rstrip())
    lines.append(" " * (_MARGIN - 1) + "+" + "-" * columns)
    low, high = f"{x.low:g}", f"{x.high:g}"
    gap = columns - len(low) - len(high) - len(x_name)
    middle = x_name.center(max(len(x_name), gap + len(x_name)))
    lines.append(" " * _MARGIN + low + middle + high)
    return [*lines, *_key(list(curves), width - _MARGIN)]


def _key(names: Sequence[str], width: int) -> list[str]:
    """Return the lines that say which mark is which curve."""
    parts = [f"{mark} {name}" for mark, name in zip(MARKS, names, strict=False)]
    undrawn = len(names) - len(MARKS)
    parts += ["= several"] if len(names) > 1 else []
    parts += [f"{undrawn} more not drawn"] if undrawn > 0 else []
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += "   " + part
        else:
            lines.append(part[:width])
    return [" " * _MARGIN + line for line in lines]


class _Axis:
    """Places values on ``cells`` cells, logarithmically."""

    def __init__(self, values: Sequence[float], cells: int) -> None:
        self.low, self.high, self._cells = min(values), max(values), cells

    def place(self, value: float) -> int:
        if self.high == self.low:
            return 0
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(share * (self._cells - 1))

    def at(self, cell: int) -> float:
        return float(self.low * (self.high / self.low) ** (cell / (self._cells - 1)))
