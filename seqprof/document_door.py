"""The one door for stored documents: read whole but bounded, values that can be, a last net.

Three things stand between a file and what is derived from it. It is read up to a size that no
document of ours has. Every number and text in it must lie where such a quantity can lie at all
(:func:`find_excess`): a time of 1e308 s would overflow later, somewhere else, without its place.
And whatever still goes wrong while something is derived from it is said of the file, in one message
(:func:`damage_told`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqprof.errors import SeqprofError
from seqprof.suggest import nearest_file

#: The path that stands for standard input.
STDIN = "-"
#: Most bytes of a document: the recording of 1,000 steps of 16,384 timesteps has 20 MB.
MOST_BYTES = 64 << 20
#: Longest text in a document, and most entries that a list of texts or objects may have.
MOST_TEXT, MOST_ENTRIES = 20_000, 200_000
#: Bounds by the unit at the end of a field's name: seconds (a century), bytes; of other numbers.
MOST_SECONDS, MOST_OF_BYTES, MOST_NUMBER = 3.2e9, 1 << 60, 1e18
#: Set, faults are shown with their traceback.
DEBUG = "SEQPROF_DEBUG"


def read_document(path: str | Path, hint: str) -> bytes:
    """Return what a file holds, or standard input for ``-``.

    Args:
        path: of the file.
        hint: what writes such files.

    Raises:
        SeqprofError: it cannot be read, or is larger than any document.
    """
    name = str(path)
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        near = (
            nearest_file(path, ".json", ".jsonl") if isinstance(error, FileNotFoundError) else None
        )
        meant = f"did you mean {near}?" if near is not None else hint
        raise SeqprofError(f"cannot read {path}: {reason}", meant) from error
    if len(data) > MOST_BYTES:
        raise SeqprofError(
            f"{path} has more than {MOST_BYTES >> 20} MiB: no document of seqprof is so large", hint
        )
    return data


@contextmanager
def damage_told(*names: str) -> Iterator[None]:
    """Say of the files called ``names`` what goes wrong inside.

    Raises:
        SeqprofError: instead of any other exception but those of input and output.
    """
    try:
        yield
    except (SeqprofError, OSError, ImportError):
        raise
    except Exception as error:
        if os.environ.get(DEBUG) or type(error).__module__.startswith(("click", "typer")):
            raise
        which = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
        raise SeqprofError(
            f"{which} is damaged: {place_of(error)}: {type(error).__name__}: {error}",
            f"measure again; if seqprof wrote it so, report that, with what {DEBUG}=1 adds",
        ) from error


def place_of(error: BaseException) -> str:
    """Return where in this package an exception came from, as ``file.py:12 function``."""
    here = str(Path(__file__).parent)
    frame, package = error.__traceback__, "seqprof"
    while frame is not None:
        code = frame.tb_frame.f_code
        if code.co_filename.startswith(here):
            place = os.path.relpath(code.co_filename, here)
            package = f"{place}:{frame.tb_lineno} {code.co_name}"
        frame = frame.tb_next
    return package


def find_excess(document: Any) -> str | None:
    """Return the first value that cannot be, as ``what - at `$.place```; None where there is none.

    Args:
        document: decoded: dataclasses, msgspec structs, mappings, sequences and plain values.
    """
    return next(_excesses(document, "", "$"), None)


def _excesses(value: Any, name: str, place: str) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            yield f"A text of {len(value):,} characters - at `{place}`"
    elif isinstance(value, int | float):
        if not _possible(value, name):
            yield f"{_short(value)} is not possible here - at `{place}`"
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _excesses(str(key), "", place)
            yield from _excesses(part, str(key), f"{place}.{key}"[:MOST_TEXT])
    elif isinstance(value, Sequence):
        yield from _in_sequence(value, name, place)
    else:
        for field in _field_names(type(value)):
            yield from _excesses(getattr(value, field), field, f"{place}.{field}")


def _in_sequence(values: Sequence[Any], name: str, place: str) -> Iterator[str]:
    plain = [value for value in values if type(value) in (int, float)]
    if len(plain) + values.count(None) == len(values):  # a column: only its ends matter
        if plain and not (_possible(min(plain), name) and _possible(max(plain), name)):
            yield f"A number that is not possible here - at `{place}`"
        return
    if len(values) > MOST_ENTRIES:
        yield f"A list of {len(values):,} entries - at `{place}`"
        return
    for index, part in enumerate(values):
        yield from _excesses(part, name, f"{place}[{index}]")


def _possible(value: float, name: str) -> bool:
    if name.endswith("_ns") or name == "seed":
        return abs(value) < 1 << 63
    if name.endswith("_s"):
        return abs(value) <= MOST_SECONDS
    if name.endswith("_bytes"):
        return 0 <= value <= MOST_OF_BYTES
    return abs(value) <= MOST_NUMBER


def _field_names(kind: type) -> tuple[str, ...]:
    names: Iterable[str] = getattr(kind, "__struct_fields__", ()) or getattr(
        kind, "__dataclass_fields__", ()
    )
    return tuple(names)


def _short(value: float) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}…"
