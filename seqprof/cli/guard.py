"""Every way in which a command can end, as one exit code and at most a sentence on stderr."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seqprof import ending_signals
from seqprof.document_door import DEBUG, place_of
from seqprof.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANNOT_MEASURE,
    SeqprofError,
    exit_code_of,
)
from seqprof.visible_text import visible

#: Longest line, and most lines, of a message: what is longer is cut in its middle, or at its end.
MOST_OF_LINE, MOST_LINES = 600, 120
#: Faults of a name that was given; a full disk; anything else is a fault of the machine.
_BAD_NAME = {
    *(errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class InterruptedCommand(BaseException):
    """What ended a command, on its way through the parser of command lines."""

    def __init__(self, end: KeyboardInterrupt) -> None:
        super().__init__(str(end))
        self.end = end


def report(message: str, hint: str | None = None) -> None:
    """Print a message to stderr, plain and bounded: it must survive a pipe and a log."""
    with suppress(OSError, ValueError, AttributeError):  # nobody is left to read it
        print(f"seqprof: {_bounded(message)}", file=sys.stderr)
        if hint:
            print(f"hint: {_bounded(hint)}", file=sys.stderr)
        sys.stderr.flush()


def _bounded(text: str) -> str:
    lines = [_cut(line) for line in visible(text).split("\n")]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} lines more"]
    return "\n".join(lines)


def _cut(line: str) -> str:
    half = MOST_OF_LINE // 2
    return line if len(line) <= MOST_OF_LINE else f"{line[:half]} … {line[-half:]}"


def guarded(command: Callable[[], object]) -> int:
    """Run a command; return the exit code.

    Args:
        command: that raises what click and seqprof raise; an exit code it returns is kept.
    """
    _reopen_closed_streams()
    ending_signals.install()
    try:
        code = _run(command)
    except KeyboardInterrupt as end:
        code = _interrupted(end)
    except InterruptedCommand as interrupted:
        code = _interrupted(interrupted.end)
    except BrokenPipeError:
        # The reader went away (`| head`). Nothing is wrong; keep the interpreter's own flush quiet.
        code = 0
        _silence(sys.stdout)
    except OSError as error:
        code = _output_failed(error)
    except MemoryError:
        report("the memory of this machine is too small for that")
        code = EXIT_CANNOT_MEASURE
    return _flushed(code)


def _interrupted(end: KeyboardInterrupt) -> int:
    report(f"interrupted{f' ({end})' if str(end) else ''}")
    return exit_code_of(end)


def _run(command: Callable[[], object]) -> int:
    try:
        code = command()
        return code if isinstance(code, int) else 0
    except SeqprofError as error:
        report(_with_place(error.message), error.hint)
        return int(error.exit_code)
    except (KeyboardInterrupt, OSError, MemoryError):
        raise
    except Exception as error:
        code = _ended_by_typer(error)
        if code is not None:
            return code
        if os.environ.get(DEBUG):
            raise
        report(
            f"a fault of seqprof, not yours: {place_of(error)}: {type(error).__name__}: {error}",
            f"please report it, with what {DEBUG}=1 adds",
        )
        return EXIT_CANNOT_MEASURE


def _with_place(message: str) -> str:
    """Put the place of a key before a message about it, where specs were read."""
    specs = sys.modules.get("seqprof.spec_file")
    if specs is None:
        return message
    placed: str = specs.with_place(message)
    return placed


def _ended_by_typer(error: Exception) -> int | None:
    """Say what Typer found wrong, and return its exit code; None where it is no end of Typer's.

    It is imported here: what is read without Typer does not wait for it.
    """
    import typer

    from seqprof.cli.usage_hints import usage_hint, usage_message

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        raise KeyboardInterrupt from None
    # Typer has had a click of its own since 0.29, so its exceptions are reached through it only.
    usage_error: type[Any] = typer.BadParameter.__mro__[1]
    command_line_error: type[Any] = typer.BadParameter.__mro__[2]
    if not isinstance(error, command_line_error):
        return None
    if not isinstance(error, usage_error):
        report(error.format_message())
        return int(error.exit_code)
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
        print(error.format_message(), file=sys.stderr)
    else:
        report(usage_message(error), usage_hint(error, sys.argv[1:]))
    return EXIT_BAD_INPUT


def _output_failed(error: OSError) -> int:
    name = f" {error.filename}" if error.filename is not None else " standard output"
    hint = "is there room left?" if error.errno in _FULL else None
    report(f"cannot write or read{name}: {error.strerror or error}", hint)
    _silence(sys.stdout)
    return EXIT_BAD_INPUT if error.errno in _BAD_NAME else EXIT_CANNOT_MEASURE


def _flushed(code: int) -> int:
    """Flush here, where a full disk is one sentence, and not when the interpreter ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except (OSError, ValueError) as error:
        report(f"standard output failed: {getattr(error, 'strerror', None) or error}")
        _silence(sys.stdout)
        return code or EXIT_CANNOT_MEASURE
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    return code


def _silence(stream: object) -> None:
    """Let the interpreter's last flush of what nobody reads go nowhere."""
    with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]


class _Closed(io.RawIOBase):
    """Standard output that was closed before we started: writing to it fails, and says so, once."""

    _said = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self._said:  # the interpreter's last flush
            return len(data)
        self._said = True
        raise OSError(errno.EBADF, "it is closed", "standard output")


def _reopen_closed_streams() -> None:
    """Keep files of ours from getting the numbers of closed streams, which others write to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lasts as we do
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
