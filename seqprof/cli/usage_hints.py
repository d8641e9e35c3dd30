"""What works instead of an option or an argument that a command does not take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def usage_message(error: Any) -> str:
    """Return what click says was wrong, without the name of pydantic's exception in it."""
    message: str = error.format_message()
    return message.replace("Value error, ", "")


def usage_hint(error: Any, words: Sequence[str]) -> str:
    """Return the hint for a usage error of click's.

    Args:
        words: the command line, after `seqprof`.
    """
    if error.ctx is None:  # an option without its value: click does not say of which command
        # Options stand after a command's name, except for those of seqprof itself.
        command = " ".join(["seqprof", *(word for word in words[:1] if not word.startswith("-"))])
        return f"`{command} --help` lists what there is"
    command, message = _typed(error.ctx), error.format_message()
    key = _key_of(error)
    if key is not None:
        return f"as in {command} … --set {key}=VALUE"
    if error.ctx.info_name == "run" and "extra argument" in message:
        return "`run` takes one model; `seqprof compare lstm gru` compares several"
    if "No such command" in message:
        subcommands = error.ctx.command.commands
        return "there is " + ", ".join(f"`{command} {name}`" for name in subcommands)
    example = _example(error.ctx, command) if "Missing argument" in message else None
    return f"as in `{example}`" if example else f"`{command} --help` lists what there is"


def _typed(context: Any) -> str:
    """Return what one types for a command, however Python was made to run this one."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["seqprof", *names])


def _example(context: Any, command: str) -> str | None:
    """Return the first example in the help of a command, without the words that explain it."""
    lines = [line.strip() for line in (context.command.help or "").splitlines()]
    own_lines = [line for line in lines if line.startswith(f"{command} ")]
    return own_lines[0].split("   ")[0] if own_lines else None


def _key_of(error: Any) -> str | None:
    """Return the spec's key that ``--some-name`` must mean, as ``section.some_name``.

    None where the command takes no keys.
    """
    option = getattr(error, "option_name", None)
    if not option or not any("--set" in each.opts for each in error.ctx.command.params):
        return None
    from seqprof.spec import Spec

    wanted = option.lstrip("-").replace("-", "_")
    matching = [
        f"{section}.{wanted}"
        for section, field in Spec.model_fields.items()
        if wanted in getattr(field.annotation, "model_fields", {})
    ]
    return matching[0] if len(matching) == 1 else None
