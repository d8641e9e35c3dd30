"""`seqprof scale`: how the cost grows with sequence length and batch, and where models cross."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from seqprof.cli.options import (
    MODEL_WORDS,
    AppendTo,
    AsJson,
    FormatName,
    Full,
    Hidden,
    LogTo,
    Outputs,
    Overrides,
    Quiet,
    StartFrom,
    size_overrides,
)


def scale(
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help=MODEL_WORDS + " One or more.",
            show_default=False,
        ),
    ],
    config: StartFrom = None,
    overrides: Overrides = None,
    seq_len: Annotated[
        str | None,
        typer.Option(
            "--seq-len", metavar="FROM:TO", help="Doublings, 64:4096, or a list [64:1024]."
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FROM:TO", help="Doublings, or a list.")
    ] = None,
    hidden: Hidden = None,
    constant_tokens: Annotated[
        bool, typer.Option("--constant-tokens", help="Hold batch x T as the sequence grows.")
    ] = False,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="When to stop: 60s, 5m.")
    ] = "60s",
    outputs: Outputs = None,
    format_name: FormatName = None,
    log: LogTo = None,
    append: AppendTo = None,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Measure how step time and memory grow with sequence length and batch size.

    \b
    seqprof scale lstm attention
    seqprof scale lstm attention --seq-len 64:4096 -o scale.html
    seqprof scale @gru --batch 1:64 --budget 2m
    """
    from seqprof.cli.appending import append_history, check_history
    from seqprof.cli.output import destinations, hand_over

    where = destinations(["scale"], outputs, format_name, as_json)

    from seqprof.cli.progress import stage_progress
    from seqprof.cli.tracking import log_result
    from seqprof.integrations.trackers.destinations import parse
    from seqprof.measure.candidates import parse_duration, parse_sizes, resolve
    from seqprof.measure.scale import Scaling, measure_scaling, points_of
    from seqprof.reports.formats import result_of

    lengths = seq_len or ("" if batch else "64:1024")
    scaling = Scaling(
        contenders=resolve(candidates, config, [*(overrides or []), *size_overrides(hidden)]),
        lengths=parse_sizes(lengths, "--seq-len") if lengths else (),
        batches=parse_sizes(batch, "--batch") if batch else (),
        constant_tokens=constant_tokens,
        budget_s=parse_duration(budget, "--budget"),
    )
    for contender in scaling.contenders:
        points_of(contender, scaling)
    check_history(append)
    trackers = parse(log or [])
    with stage_progress(enabled=not quiet) as progress:
        outcome = measure_scaling(scaling, shlex.join(["seqprof", *sys.argv[1:]]), progress)
    result = result_of(outcome.recording, shlex.join(["scale", *candidates]))
    try:
        hand_over([result], where, quiet=quiet, full=full)
    finally:
        logged = log_result(result, trackers, quiet)
        append_history(outcome.recording, append, quiet)
    if outcome.exit_code or logged:
        raise typer.Exit(outcome.exit_code or logged)
