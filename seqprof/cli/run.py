"""`seqprof run`: measure one model's training and report it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import AppendTo, AsJson, FormatName, LogTo, Outputs, Overrides, Quiet


def run(
    config: Annotated[
        Path, typer.Argument(help="YAML spec; see sample_configs/ and docs/spec.md.")
    ],
    overrides: Overrides = None,
    outputs: Outputs = None,
    format_name: FormatName = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Keep the profiled steps' trace (.json.gz, Perfetto)."
        ),
    ] = None,
    log: LogTo = None,
    append: AppendTo = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Profile one model's training, end to end.

    Shows where a step's time goes by phase, what every timestep costs forward and in BPTT, and how
    idle the device is in each phase. Ctrl-C keeps what was measured.
    """
    from seqprof.cli.appending import append_history, check_history
    from seqprof.cli.output import destinations, hand_over
    from seqprof.cli.progress import stage_progress
    from seqprof.cli.tracking import log_result
    from seqprof.integrations.trackers.destinations import parse
    from seqprof.reports.formats import result_of
    from seqprof.spec_file import load_spec
    from seqprof.store import check_writable

    loaded = load_spec(config, overrides or [])
    where = destinations(["run"], outputs, format_name, as_json)
    trackers = parse(log or [])
    if trace is not None:
        check_writable(trace)
    check_history(append)

    from seqprof.measure.run import measure_run  # imports torch: after all that can be refused

    with stage_progress(enabled=not quiet) as progress:
        outcome = measure_run(
            loaded.spec, loaded.folder, shlex.join(["seqprof", *sys.argv[1:]]), progress, trace
        )

    result = result_of(outcome.recording, str(config))
    try:
        hand_over([result], where, quiet=quiet)
    finally:
        logged = log_result(result, trackers, quiet)
        append_history(outcome.recording, append, quiet)
    if outcome.trace_kept and not quiet:
        print(f"written: {trace}", file=sys.stderr)
    if outcome.exit_code or logged:
        raise typer.Exit(outcome.exit_code or logged)
