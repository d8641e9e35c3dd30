"""The one exception that carries a message meant for the user."""

from __future__ import annotations

import signal

#: Exit codes of the command line.
EXIT_CANNOT_MEASURE = 1
EXIT_BAD_INPUT = 2
EXIT_SLOWER = 3
#: Of a command that measures: the accelerator reported an error that stays.
EXIT_DEVICE_FAILED = 3
EXIT_NOT_LOGGED = 4
EXIT_INCONCLUSIVE = 5
EXIT_INTERRUPTED = 130


class SeqprofError(Exception):
    """What went wrong, in words for the user; caught once, in ``cli/``.

    Args:
        message: what was wrong and where, without a trailing full stop; may have several lines.
        hint: what would be right, or what to do next.
        exit_code: 2 for the user's input, 1 for a machine that cannot do what was asked.
    """

    def __init__(
        self, message: str, hint: str | None = None, exit_code: int = EXIT_BAD_INPUT
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class EndedError(KeyboardInterrupt):
    """A signal asked for the end: what Ctrl-C is to a terminal, SIGTERM is to a scheduler."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code_of(end: KeyboardInterrupt) -> int:
    """Return what a shell makes of an end by a signal: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + end.number if isinstance(end, EndedError) else EXIT_INTERRUPTED


#: What TorchScript's errors begin with: the message itself is their last line.
_IN_TORCHSCRIPT = "The following operation failed in the TorchScript interpreter"


def first_line(error: BaseException) -> str:
    """The line of an exception's message that says what is wrong, as a rule its first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if lines[0].startswith(_IN_TORCHSCRIPT) else lines[0]
