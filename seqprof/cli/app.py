"""The Typer application, and the one place where errors meant for the user are caught."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from seqprof.errors import EXIT_INTERRUPTED, SeqprofError

#: Module of each command and its function, or group of commands, in the order of the help.
_COMMANDS = {
    "run": ("run", "run"),
    "compare": ("compare", "compare"),
    "scale": ("scale", "scale"),
    "show": ("show", "show"),
    "diff": ("diff", "diff"),
    "history": ("history", "history"),
    "trace": ("trace", "trace"),
    "depth": ("depth", "depth"),
    "list": ("listing", "list_names"),
    "doctor": ("doctor", "doctor"),
    "dashboard": ("dashboard", "app"),
    "schema": ("schema", "app"),
}


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Return the application.

    Args:
        words: the command line. If it begins with a command, only that one's module is imported,
            which makes short commands start sooner; help and completion need all.
    """
    app = typer.Typer(
        name="seqprof",
        help="Profile how sequence models train: what every timestep costs, forward and in BPTT, "
        "and how idle the accelerator is meanwhile.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: importing Rich for its boxes would double the start-up
        callback=options,
    )
    named = [word for word in words[:1] if word in _COMMANDS]
    for name in named or _COMMANDS:
        module, attribute = _COMMANDS[name]
        command = getattr(import_module(f"seqprof.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from seqprof import __version__

        typer.echo(f"seqprof {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def report_error(error: SeqprofError) -> None:
    """Print ``error`` to stderr, plain: it must survive a pipe and a log."""
    print(f"seqprof: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def main() -> None:
    """Run the command line; the console script and ``python -m seqprof`` come here."""
    try:
        command_line(sys.argv[1:])()
    except SeqprofError as error:
        report_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("seqprof: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`). Nothing is wrong; keep the interpreter's own flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
