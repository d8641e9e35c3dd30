"""Arrays small enough for a page, and JSON that no browser takes for markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from seqprof import store

#: Significant digits that the smallest value of an array keeps; a screen shows fewer.
DIGITS = 4


def pack(values: Iterable[float | None], digits: int = DIGITS) -> dict[str, Any]:
    """Return ``{"u": unit, "v": whole numbers}``: a value is its number times the unit.

    The unit is a power of ten, such that the smallest value but zero keeps ``digits`` digits.
    """
    known = list(values)
    sizes = [abs(value) for value in known if value]
    if not sizes:
        return {"u": 1, "v": [None if value is None else 0 for value in known]}
    power = math.floor(math.log10(min(sizes))) - digits + 1
    # Of a wide range (a timestep of 1 µs, a pause of 10 s) the largest needs no more than 9.
    power = max(power, math.floor(math.log10(max(sizes))) - 8)
    scale = 10.0**-power
    return {
        "u": float(f"1e{power}"),
        "v": [None if value is None else round(value * scale) for value in known],
    }


#: What could end a script element or start a comment, as JSON's own escapes.
_ESCAPES: dict[str, str | int | None] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def embed(value: Any) -> str:
    """Return strict JSON that may stand inside a script element.

    Raises:
        SeqprofError: a number is not finite.
    """
    return store.dumps(value).decode().translate(str.maketrans(_ESCAPES))
