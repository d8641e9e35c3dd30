"""What a misspelled word was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like ``word``, letter case aside; None when none is like it."""
    spelled = {option.lower(): option for option in options}
    matches = difflib.get_close_matches(word.lower(), spelled, n=1)
    return spelled[matches[0]] if matches else None


def did_you_mean(word: str, options: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"``, or a list of what there is when none is near.

    Args:
        word: what was written.
        options: all that would have been right.
        listed: what to list instead of all ``options``, where these are many.
    """
    options = list(options)
    near = nearest(word, options)
    known = options if listed is None else listed
    return f"; did you mean '{near}'?" if near else f"; known: {', '.join(known)}"
