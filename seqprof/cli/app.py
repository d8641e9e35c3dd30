"""The Typer application, and the one place where errors meant for the user are caught."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NamedTuple

import typer

from seqprof.errors import EXIT_INTERRUPTED, SeqprofError


class _Command(NamedTuple):
    """Where a command is and its line in the list of commands, which has room for 64 letters."""

    module: str
    attribute: str
    line: str


#: In the order of the help. The attribute is a function, or an application of subcommands.
_COMMANDS = {
    "run": _Command("run", "run", "Profile one model's training, end to end."),
    "compare": _Command(
        "compare", "compare", "Tell which architecture is faster here, and how sure."
    ),
    "scale": _Command("scale", "scale", "Measure how cost grows with sequence length and batch."),
    "depth": _Command(
        "depth", "depth", "Count the longest chain of operations; needs no hardware."
    ),
    "trace": _Command(
        "trace", "trace", "Tell exact idle time, and why, from a torch.profiler trace."
    ),
    "show": _Command("show", "show", "Print stored results again, or in another format."),
    "diff": _Command("diff", "diff", "Tell what changed between two runs; can fail a build."),
    "history": _Command("history", "history", "Show how metrics went from run to run."),
    "list": _Command("listing", "list_names", "List the model families or the report formats."),
    "doctor": _Command("doctor", "doctor", "Tell whether one can measure here, and how finely."),
    "dashboard": _Command("dashboard", "app", "Write ready dashboards for Grafana."),
    "schema": _Command("schema", "app", "Print the JSON Schema of a spec or of a result."),
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
        module, attribute, line = _COMMANDS[name]
        command = getattr(import_module(f"seqprof.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, short_help=line)
        else:
            app.command(name, short_help=line)(command)
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
