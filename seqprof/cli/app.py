"""The Typer application."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from seqprof.cli.guard import InterruptedCommand
from seqprof.errors import SeqprofError


class _Command(NamedTuple):
    """Where a command is and its line in the list of commands, which has room for 64 letters."""

    module: str
    attribute: str
    line: str


#: In the order of the help. The attribute is a function, or an application of subcommands.
_COMMANDS = {
    "run": _Command("run", "run", "Profile one model's training, end to end."),
    "exec": _Command("exec", "exec_", "Run your own script and measure the training loop in it."),
    "compare": _Command("compare", "compare", "Find out which model trains faster here."),
    "scale": _Command("scale", "scale", "Measure how cost grows with sequence length and batch."),
    "depth": _Command(
        "depth", "depth", "Count the longest chain of operations; needs no hardware."
    ),
    "explain": _Command(
        "explain", "explain", "Test the argument about recurrence here, claim by claim."
    ),
    "trace": _Command("trace", "trace", "Show the exact idle time in a trace, and its causes."),
    "show": _Command("show", "show", "Print stored results again, or in another format."),
    "diff": _Command("diff", "diff", "Show what changed between two runs; can fail a build."),
    "history": _Command("history", "history", "Show how metrics went from run to run."),
    "init": _Command("init", "init", "Write a commented spec to start from."),
    "list": _Command("listing", "list_names", "List model families, formats or sample configs."),
    "doctor": _Command(
        "doctor", "doctor", "Check this machine: can it measure, and how precisely?"
    ),
    "dashboard": _Command("dashboard", "app", "Write ready dashboards for Grafana."),
    "schema": _Command("schema", "app", "Print the JSON Schema of a spec or of a result."),
}


class _Group(TyperGroup):
    """Keeps what ended a command from Typer, which makes exit code 130 of it without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as end:
            raise InterruptedCommand(end) from end


def command_names() -> list[str]:
    """Return the names of all commands, in the order of the help."""
    return list(_COMMANDS)


#: What follows the command of `exec` is that command's, whether or not it looks like an option.
_SETTINGS = {"exec": {"allow_interspersed_args": False}}


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Return the application.

    Args:
        words: the command line. If it begins with a command, only that one's module is imported,
            which makes short commands start sooner; help and completion need all.
    """
    app = typer.Typer(
        name="seqprof",
        cls=_Group,
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
        command = getattr(import_module(f"seqprof.cli.commands.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, short_help=line)
        else:
            app.command(
                name,
                cls=getattr(command, "parser", None),
                short_help=line,
                context_settings=_SETTINGS.get(name),
            )(command)
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


def _check_command(words: Sequence[str]) -> None:
    """Refuse a first word that is no command; a model's or a file's name is met with the command.

    Raises:
        SeqprofError: it is none.
    """
    if not words or words[0].startswith("-") or words[0] in _COMMANDS:
        return
    from seqprof.file_kinds import better_use
    from seqprof.measure.names import look_up
    from seqprof.suggest import nearest

    word = words[0]
    hint = better_use(word)
    if hint is None:
        with suppress(SeqprofError):
            hint = f"`seqprof run {look_up(word).word}` profiles it"
    near = None if hint else nearest(word, _COMMANDS)
    advice = f"; did you mean '{near}'?" if near else ""
    raise SeqprofError(
        f"no command is called '{word}'{advice}", hint or "`seqprof --help` lists the commands"
    )


def run_command(words: Sequence[str]) -> object:
    """Run a command line that Typer reads.

    Raises:
        SeqprofError: the first word is no command; and what click raises.
    """
    _check_command(words)
    return command_line(words)(standalone_mode=False)
