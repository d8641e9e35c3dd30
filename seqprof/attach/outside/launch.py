"""Start the user's command with the agent on its path, and wait for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqprof.attach.options import AttachOptions
from seqprof.attach.outside.signals import PASSED, Witness, blocked, came_from_terminal, ignored
from seqprof.errors import EXIT_BAD_INPUT, SeqprofError

BOOTSTRAP = Path(__file__).parents[1] / "bootstrap"
#: How often the parent looks at what the agent has written, in seconds.
LOOK_S = 0.5
#: A shell's exit code for a command that cannot be found, and for one that cannot be run.
_NOT_FOUND, _NOT_RUNNABLE, _BY_SIGNAL = 127, 126, 128


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended. ``signal`` is that which killed it, else None."""

    exit_code: int
    signal: int | None
    pid: int


def environment(options: AttachOptions) -> dict[str, str]:
    """The command's environment: ours, with the agent first on Python's path."""
    variables = dict(os.environ)
    previous = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *([previous] if previous else [])])
    return {**variables, **options.to_environment()}


def with_interpreter(command: Sequence[str]) -> list[str]:
    """Put our Python before a script that is no program: ``torchrun -m seqprof exec train.py``."""
    script = bool(command) and command[0].endswith(".py") and os.path.exists(command[0])
    if script and shutil.which(command[0]) is None:
        return [sys.executable, *command]
    return list(command)


def check_command(command: Sequence[str]) -> None:
    """Refuse a command that cannot be started, before anything is.

    Raises:
        SeqprofError: it is empty, not there, or not executable.
    """
    if not command:
        raise SeqprofError(
            "there is no command to run",
            "seqprof exec [OPTIONS] -- python train.py …",
            exit_code=EXIT_BAD_INPUT,
        )
    if shutil.which(command[0]) is None:
        there = os.path.exists(command[0])
        raise SeqprofError(
            f"cannot run '{command[0]}': {'not executable' if there else 'no such program'}",
            "seqprof exec -- python train.py …",
            exit_code=_NOT_RUNNABLE if there else _NOT_FOUND,
        )


def run(command: Sequence[str], options: AttachOptions, look: Callable[[int], None]) -> Ended:
    """Run ``command`` to its end, on our own standard streams.

    Args:
        look: called every half second while it runs, with its process id.
    """
    with blocked() as before:
        witness = Witness()
        try:
            child = subprocess.Popen(
                command, env=environment(options), preexec_fn=_restorer(before), close_fds=False
            )
            _wait(child, witness, look)
        finally:
            witness.close()
    code = child.returncode
    if code < 0:
        return Ended(_BY_SIGNAL - code, -code, child.pid)
    return Ended(code, None, child.pid)


def _restorer(before: frozenset[int]) -> Callable[[], None]:
    """What the child does before it becomes the command: our mask and handlers are not its."""
    ignored_before = ignored()

    def restore() -> None:
        for number in PASSED - ignored_before:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    return restore


def _wait(child: subprocess.Popen[bytes], witness: Witness, look: Callable[[int], None]) -> None:
    """Wait for the child alone, never for what it started; pass signals on meanwhile."""
    while child.poll() is None:
        received = signal.sigtimedwait({*PASSED, signal.SIGCHLD}, LOOK_S)
        if received is None:
            _guarded(look, child.pid)
        elif received.si_signo != signal.SIGCHLD:
            _pass_on(child, witness, received)


def _guarded(look: Callable[[int], None], pid: int) -> None:
    """A fault in what is shown while the script runs must not end the waiting."""
    try:
        look(pid)
    except Exception as error:
        print(f"seqprof: {error!r}", file=sys.stderr)


def _pass_on(
    child: subprocess.Popen[bytes], witness: Witness, received: signal.struct_siginfo
) -> None:
    number = received.si_signo
    heard = witness.heard(number)
    if not came_from_terminal(received) and not heard:
        child.send_signal(number)
