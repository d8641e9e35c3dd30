"""`seqprof run`: measure one model's training and report it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path, typer.Argument(help="YAML spec; see sample_configs/ and docs/spec.md.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in model.layers=2."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write recording, summary and rows as JSON."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Keep the profiled steps' trace (.json.gz, Perfetto)."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print that JSON to stdout, and nothing else there.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the essential lines only; no progress.")
    ] = False,
) -> None:
    """Profile one model's training, end to end.

    Shows where a step's time goes by phase, what every timestep costs forward and in BPTT, and how
    idle the device is in each phase. Ctrl-C keeps what was measured.
    """
    from seqprof.cli.progress import stage_progress
    from seqprof.spec_file import load_spec
    from seqprof.store import check_writable

    loaded = load_spec(config, overrides or [])
    if output is not None:
        check_writable(output)
    if trace is not None:
        check_writable(trace)

    from seqprof.measure.run import measure_run  # imports torch: after all that can be refused

    with stage_progress(enabled=not quiet) as progress:
        outcome = measure_run(
            loaded.spec, loaded.folder, shlex.join(["seqprof", *sys.argv[1:]]), progress, trace
        )

    from seqprof.cli.output import present

    present(outcome.recording, output=output, as_json=as_json, quiet=quiet)
    if outcome.trace_kept and not quiet:
        print(f"written: {trace}", file=sys.stderr)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
