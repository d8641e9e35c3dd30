"""Recording ⇄ file: strict JSON, a schema version, and writes that happen whole or not at all."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seqprof.document_door import find_excess, read_document
from seqprof.errors import SeqprofError
from seqprof.file_kinds import better_use

if TYPE_CHECKING:  # reading needs it, and imports it then: writing is for traces too
    from seqprof.recording import Recording

#: The path that stands for standard output.
STDOUT = "-"
#: How the name of a file ends that is not wholly written yet; one is left only by `kill -9`.
UNFINISHED = ".seqprof-unfinished"


def dumps(value: Any) -> bytes:
    """Encode dataclasses and plain data as strict JSON.

    Raises:
        SeqprofError: a number is not finite. JSON has no word for it, and null would be a lie.
    """
    place = find_not_finite(value)
    if place is not None:
        raise SeqprofError(
            f"{place} is not a finite number, so the recording cannot be written",
            "this is a fault in seqprof or in a model's loss: please report it",
            exit_code=1,
        )
    return msgspec.json.encode(value)


def find_not_finite(value: Any, place: str = "$") -> str | None:
    """Return where in ``value`` the first NaN or infinity stands, as in ``$.trials[0].host``."""
    if isinstance(value, float):
        return None if math.isfinite(value) else place
    for name, part in _parts(value):
        # Long arrays of numbers: only containers and floats are worth a call.
        if isinstance(part, float) and math.isfinite(part):
            continue
        first = find_not_finite(part, place + name)
        if first is not None:
            return first
    return None


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f".{key}", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    if isinstance(value, msgspec.Struct):
        return [(f".{name}", getattr(value, name)) for name in value.__struct_fields__]
    if is_dataclass(value):
        return [(f".{field.name}", getattr(value, field.name)) for field in fields(value)]
    return []


def write(document: bytes, path: str | Path) -> None:
    """Write ``document`` to ``path`` atomically, or to standard output for ``-``.

    The old file stays whole until the new one is on disk; a failure leaves nothing behind.

    Raises:
        SeqprofError: the folder is missing or cannot be written.
    """
    if str(path) == STDOUT:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.is_symlink():
        target = target.resolve()
    try:
        if target.exists() and not target.is_file():  # e.g. /dev/stdout: nothing to replace
            target.write_bytes(document)
        else:
            _replace(document, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SeqprofError(
            f"cannot write {path}: {reason}", "choose a folder that exists and is yours"
        ) from error


def check_writable(path: str | Path) -> None:
    """Refuse a path that :func:`write` could not write, before anything is measured.

    Raises:
        SeqprofError: the folder is missing or not ours to write in, or the path is a folder.
    """
    if str(path) == STDOUT:
        return
    try:
        _check_place(path, Path(path))
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        raise SeqprofError(f"cannot write {path}: {reason}", "choose another name") from error


def _check_place(path: str | Path, target: Path) -> None:
    folder = target.resolve().parent
    if target.is_dir():
        raise SeqprofError(f"cannot write {path}: it is a folder", "name a file, as in run.json")
    if not folder.is_dir():
        raise SeqprofError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise SeqprofError(f"cannot write {path}: permission denied")


def _replace(document: bytes, target: Path) -> None:
    import tempfile  # with what it imports in turn, a tenth of the time that `show` takes

    descriptor, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=UNFINISHED
    )
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode(target))
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _mode(target: Path) -> int:
    """Return the old file's permissions, or those that a new file would have got."""
    with suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


class _Stored(msgspec.Struct):
    """The part of a stored document that is read back; the rest is derived anew."""

    schema_version: int
    kind: str | None = None
    recording: msgspec.Raw = msgspec.Raw()


def load(path: str | Path) -> Recording:
    """Read a recording.

    Raises:
        SeqprofError: it is missing, not JSON, not a recording, or of a newer seqprof.
    """
    data = read_document(path, "`seqprof run -o RUN.json` writes recordings")
    return loads(data, str(path))


def loads(data: bytes, name: str = "the recording") -> Recording:
    """Decode a recording; ``name`` stands in errors. Raises as :func:`load` does."""
    try:
        recording = _decode(data, name)
    except msgspec.ValidationError as error:
        raise _wrong_shape(name, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(name, data) from error
    from seqprof.consistency import find_fault

    fault = find_excess(recording) or find_fault(recording)
    if fault is not None:
        raise _wrong_shape(name, fault)
    return recording


def _decode(data: bytes, name: str) -> Recording:
    from seqprof.recording import SCHEMA_VERSION, Recording

    stored = msgspec.json.decode(data, type=_Stored)
    version = stored.schema_version
    if version > SCHEMA_VERSION:
        raise SeqprofError(
            f"{name} was written by a newer seqprof (schema {version}; "
            f"this one reads up to {SCHEMA_VERSION})",
            "pip install --upgrade seqprof",
        )
    if version < 1:
        raise msgspec.ValidationError(f"There is no schema {version} - at `$.schema_version`")
    if not bytes(stored.recording):
        if stored.kind is not None:
            raise SeqprofError(
                f"{name} is a result of `seqprof {stored.kind}`, not a recording",
                f"`seqprof show {name}` shows it",
            )
        raise msgspec.ValidationError("Object missing required field `recording` - at `$`")
    if version == SCHEMA_VERSION:
        return msgspec.json.decode(stored.recording, type=Recording)
    return _migrated(msgspec.json.decode(stored.recording), version)


def _migrated(plain: Any, version: int) -> Recording:
    from seqprof.migrations import migrate
    from seqprof.recording import SCHEMA_VERSION, Recording

    try:
        moved = migrate(plain, version, SCHEMA_VERSION)
    except KeyError as error:
        raise msgspec.ValidationError(
            f"Object of schema {version} missing required field {error} - at `$.recording`"
        ) from error
    except (TypeError, AttributeError, IndexError) as error:
        raise msgspec.ValidationError(
            f"It does not have the shape of schema {version}: {error} - at `$.recording`"
        ) from error
    return msgspec.convert(moved, type=Recording)


def _wrong_shape(name: str, what: str) -> SeqprofError:
    problem, _, place = what.partition(" - at `")
    where = place.rstrip("`") or "$"
    hint = "give a file that `seqprof run -o` wrote; `seqprof schema recording` describes it"
    return SeqprofError(
        f"{name} is not a seqprof recording: at {where}: {problem}",
        better_use(name, "recording") or hint,
    )


def _not_json(name: str, data: bytes) -> SeqprofError:
    """Find the line and column, which msgspec does not tell."""
    import json

    if not data.strip():
        return SeqprofError(f"{name} is empty", "measure again with `seqprof run -o`")
    other = better_use(name, "recording")
    if other is not None:
        return SeqprofError(f"{name} is not a seqprof recording", other)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return SeqprofError(
            f"{name} is not JSON: byte {error.start} is not UTF-8",
            "give a file that `seqprof run -o` wrote",
        )
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        return SeqprofError(
            f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}",
            "the file ends too early: was it copied whole?"
            if cut
            else "give a file that `seqprof run -o` wrote",
        )
    except RecursionError:
        pass
    return SeqprofError(f"{name} is not strict JSON", "give a file that `seqprof run -o` wrote")
