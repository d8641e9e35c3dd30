"""`seqprof compare`: which of several models trains faster, and how sure that is."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer

from seqprof.cli.options import (
    MODEL_WORDS,
    AppendTo,
    AsJson,
    FormatName,
    Full,
    Hidden,
    Outputs,
    Overrides,
    Quiet,
    StartFrom,
    size_overrides,
)


class Match(StrEnum):
    """What is made equal."""

    WIDTH = "width"
    PARAMS = "params"
    FLOPS = "flops"


def compare(
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help=MODEL_WORDS + " Two or more.",
            show_default=False,
        ),
    ],
    config: StartFrom = None,
    overrides: Overrides = None,
    seq_len: Annotated[
        str | None,
        typer.Option("--seq-len", metavar="T[,T…]", help="Sequence lengths: 64,256 or 64:1024."),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Sequences per step.")] = None,
    hidden: Hidden = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Candidate that others are held against [first]."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, help="Rounds [40, or as many as fit in 7 s, at least 6]."),
    ] = None,
    match: Annotated[
        Match | None,
        typer.Option("--match", help="Adjust hidden sizes until this equals the baseline's."),
    ] = None,
    timesteps: Annotated[
        bool,
        typer.Option("--timesteps", help="Time each timestep too, in probed steps of every round."),
    ] = False,
    outputs: Outputs = None,
    format_name: FormatName = None,
    append: AppendTo = None,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Compare how candidates train: interleaved rounds, ratios with intervals, a verdict.

    \b
    seqprof compare lstm attention
    seqprof compare lstm@cell lstm@fused mingru --seq-len 64:1024
    seqprof compare lstm my.module:build -o compare.html
    """
    from seqprof.cli.appending import append_history, check_history
    from seqprof.cli.output import destinations, hand_over

    where = destinations(["compare"], outputs, format_name, as_json)

    from seqprof.cli.progress import stage_progress
    from seqprof.errors import SeqprofError
    from seqprof.measure.candidates import parse_sizes, resolve
    from seqprof.measure.compare import Plan, measure_comparison
    from seqprof.reports.formats import result_of
    from seqprof.suggest import did_you_mean

    contenders = resolve(candidates, config, [*(overrides or []), *size_overrides(hidden)])
    if len(contenders) < 2:
        raise SeqprofError(
            "a comparison needs two candidates or more", "as in `seqprof compare lstm attention`"
        )
    labels = [contender.label for contender in contenders]
    if baseline is not None and baseline not in labels:
        raise SeqprofError(
            f"--baseline {baseline} is not a candidate{did_you_mean(baseline, labels)}"
        )
    plan = Plan(
        contenders=contenders,
        baseline=baseline or labels[0],
        lengths=parse_sizes(seq_len, "--seq-len") if seq_len else (),
        batch_size=batch,
        rounds=rounds,
        match=match.value if match else None,
        timesteps=timesteps,
    )
    check_history(append)
    with stage_progress(enabled=not quiet) as progress:
        outcome = measure_comparison(plan, shlex.join(["seqprof", *sys.argv[1:]]), progress)
    result = result_of(outcome.recording, shlex.join(["compare", *candidates]))
    try:
        hand_over([result], where, quiet=quiet, full=full)
    finally:
        append_history(outcome.recording, append, quiet)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
