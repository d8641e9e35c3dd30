"""What a misspelled word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like ``word``, letter case aside; None when none is like it.

    The only one that begins with ``word`` is what is most often meant by it.
    """
    spelled = {option.lower(): option for option in options}
    begun = [option for option in spelled if len(word) > 1 and option.startswith(word.lower())]
    if len(begun) == 1:
        return spelled[begun[0]]
    import difflib  # only a mistake waits for it

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


def nearest_file(path: str | Path, *endings: str) -> Path | None:
    """Return the file that ``path``, which is not there, was probably meant to be.

    It is the one of the same name with another ending, else one of a like name with its ending.

    Args:
        endings: of the files that would be right.
    """
    path = Path(path)
    try:
        there = sorted(each for each in path.parent.iterdir() if each.suffix in endings)
    except (OSError, ValueError):
        return None
    for each in there:
        if each.stem.lower() == path.stem.lower():
            return each
    like = {each.stem: each for each in there if each.suffix == path.suffix}
    near = nearest(path.stem, like)
    return None if near is None else like[near]
