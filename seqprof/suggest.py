"""What a misspelled word was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like ``word``, letter case aside; None when none is like it."""
    spelled = {option.lower(): option for option in options}
    matches = difflib.get_close_matches(word.lower(), spelled, n=1)
    return spelled[matches[0]] if matches else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of all ``options`` when none is near."""
    options = list(options)
    near = nearest(word, options)
    return f"; did you mean '{near}'?" if near else f"; known: {', '.join(options)}"
