"""The reference of all commands, made from the commands' own help when the site is built.

`python docs/scripts/commands.py` prints it.
"""

from __future__ import annotations

import os
from typing import Any

from typer.testing import CliRunner

from seqprof.cli.app import command_line, command_names

_HEADER = "# Commands\n\nWhat `seqprof COMMAND --help` prints, for every command.\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the page to the site; MkDocs calls this."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "commands.md", content=reference()))
    return files


def reference() -> str:
    """Return the page in Markdown."""
    sections = [f"## {name}\n\n```text\n{_help(name)}\n```\n" for name in command_names()]
    return "\n".join([_HEADER, f"```text\n{_help()}\n```\n", *sections])


def _help(*command: str) -> str:
    os.environ["COLUMNS"] = "80"
    shown = CliRunner().invoke(command_line(), [*command, "--help"], prog_name="seqprof")
    return "\n".join(line.rstrip() for line in shown.stdout.strip("\n").splitlines())


if __name__ == "__main__":
    print(reference())
