"""`seqprof init`: a commented spec to start from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import MODEL_WORDS


def init(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=MODEL_WORDS)] = "lstm",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write; one that exists is never overwritten. [default: stdout]",
        ),
    ] = None,
) -> None:
    """Write a commented spec: what to train, on what, and how to measure it.

    Every key that means something to the model is there, those with a default as a comment. A
    sample config is copied with the files that it needs.

    \b
    seqprof init gru -o my.yaml && seqprof run my.yaml
    seqprof init my.module:build -o my.yaml
    """
    from seqprof import store
    from seqprof.errors import SeqprofError
    from seqprof.measure.names import look_up
    from seqprof.spec_template import needed_files, of_sample, template

    if output is not None and output.exists():
        raise SeqprofError(f"{output} exists already", "name a new file, or remove that one")
    named = look_up(model)
    if named.path is not None and not named.path.exists():
        raise SeqprofError(f"there is no file {model}", f"`seqprof init -o {model}` writes it")
    if named.path is not None:
        text = of_sample(named.path)
        beside = needed_files(text, named.path)
    else:
        text, beside = template(named), ()
    if output is None:
        typer.echo(text, nl=False)
        if beside:
            names = ", ".join(str(path) for path in beside)
            print(f"it needs beside it: {names}", file=sys.stderr)
        return
    store.check_writable(output)
    new = [path for path in beside if not (output.parent / path.name).exists()]
    store.write(text.encode(), output)
    for path in new:
        shutil.copy(path, output.parent / path.name)
    written = [output, *(output.parent / path.name for path in new)]
    print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
    print(f"next:    seqprof run {output}", file=sys.stderr)
