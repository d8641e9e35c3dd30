"""`seqprof scale`: how the cost grows with sequence length and batch, and where models cross."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def scale(
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help="A YAML spec, a name of `seqprof list` (lstm), name@cell, or "
            "package.module:factory; one or more.",
            show_default=False,
        ),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML spec that the candidates start from.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of every candidate."),
    ] = None,
    seq_len: Annotated[
        str | None,
        typer.Option(
            "--seq-len", metavar="FROM:TO", help="Doublings, 64:4096, or a list [64:1024]."
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FROM:TO", help="Doublings, or a list.")
    ] = None,
    constant_tokens: Annotated[
        bool, typer.Option("--constant-tokens", help="Hold batch x T as the sequence grows.")
    ] = False,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="When to stop: 60s, 5m.")
    ] = "60s",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write recording and summary as JSON.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print that JSON to stdout, and nothing else there.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the outcome only; no progress.")
    ] = False,
) -> None:
    """Measure how step time and memory grow with sequence length and batch size."""
    from seqprof.cli.output import present_comparison
    from seqprof.cli.progress import stage_progress
    from seqprof.measure.candidates import parse_duration, parse_sizes, resolve
    from seqprof.measure.scale import Scaling, measure_scaling, points_of
    from seqprof.store import check_writable

    lengths = seq_len or ("" if batch else "64:1024")
    scaling = Scaling(
        contenders=resolve(candidates, config, overrides or []),
        lengths=parse_sizes(lengths, "--seq-len") if lengths else (),
        batches=parse_sizes(batch, "--batch") if batch else (),
        constant_tokens=constant_tokens,
        budget_s=parse_duration(budget, "--budget"),
    )
    for contender in scaling.contenders:
        points_of(contender, scaling)
    if output is not None:
        check_writable(output)
    with stage_progress(enabled=not quiet) as progress:
        outcome = measure_scaling(scaling, shlex.join(["seqprof", *sys.argv[1:]]), progress)
    present_comparison(outcome.recording, output=output, as_json=as_json, quiet=quiet)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
