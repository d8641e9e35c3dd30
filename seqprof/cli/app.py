"""The Typer application, and the one place where errors meant for the user are caught."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from seqprof.cli import compare, depth, doctor, listing, run, scale, schema, show, trace
from seqprof.errors import EXIT_INTERRUPTED, SeqprofError

app = typer.Typer(
    name="seqprof",
    help="Profile how sequence models train: what every timestep costs, forward and in BPTT, "
    "and how idle the accelerator is meanwhile.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing Rich for its boxes would double the start-up
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from seqprof import __version__

        typer.echo(f"seqprof {__version__}")
        raise typer.Exit


@app.callback()
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


app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("scale")(scale.scale)
app.command("show")(show.show)
app.command("trace")(trace.trace)
app.command("depth")(depth.depth)
app.command("list")(listing.list_families)
app.command("doctor")(doctor.doctor)
app.add_typer(schema.app, name="schema")


def report_error(error: SeqprofError) -> None:
    """Print ``error`` to stderr, plain: it must survive a pipe and a log."""
    print(f"seqprof: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def main() -> None:
    """Run the command line; the console script and ``python -m seqprof`` come here."""
    try:
        app()
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
