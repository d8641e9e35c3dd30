"""`seqprof run`: measure one model's training and report it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    size_overrides,
)

if TYPE_CHECKING:
    from seqprof.measure.outcome import Outcome, Progress

#: What is profiled when nothing is named: the recurrence that most users know, on real text.
DEFAULT_MODEL = "lstm"


def run(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=MODEL_WORDS)] = DEFAULT_MODEL,
    overrides: Overrides = None,
    seq_len: Annotated[
        int | None,
        typer.Option("--seq-len", min=2, metavar="T", help="Timesteps: --set data.seq_len=T."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, metavar="B", help="Sequences: --set data.batch_size=B."),
    ] = None,
    hidden: Hidden = None,
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
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Profile one model's training, end to end.

    Shows where a step's time goes by phase, what every timestep costs forward and in BPTT, and how
    idle the device is in each phase. A recurrent name means its cells, whose timesteps can be
    timed; lstm@fused is one call for all. Ctrl-C keeps what was measured.

    \b
    seqprof run                           an LSTM on real text
    seqprof run gru --seq-len 512         any name of `seqprof list`
    seqprof run @truncated_bptt           a sample of `seqprof list configs`
    seqprof run my.module:build           your own model
    seqprof run my.yaml                   a spec, as `seqprof init` writes one
    """
    from seqprof.cli.appending import append_history, check_history
    from seqprof.cli.guard import report
    from seqprof.cli.output import destinations, hand_over
    from seqprof.cli.progress import stage_progress
    from seqprof.cli.tracking import log_result
    from seqprof.integrations.trackers.destinations import parse
    from seqprof.measure.candidates import resolve_one
    from seqprof.measure.endings import conduct
    from seqprof.measure.outcome import longest_first_step_s
    from seqprof.reports.formats import result_of
    from seqprof.store import check_writable

    sizes = size_overrides(hidden, seq_len, batch)
    contender = resolve_one(model, [*(overrides or []), *sizes])
    where = destinations(["run"], outputs, format_name, as_json)
    trackers = parse(log or [])
    if trace is not None:
        check_writable(trace)
    check_history(append)

    def measure(progress: Progress) -> Outcome:
        from seqprof.measure.run import measure_run  # imports torch, in the child only

        command = shlex.join(["seqprof", *sys.argv[1:]])
        return measure_run(contender.spec, contender.folder, command, progress, trace)

    with stage_progress(enabled=not quiet) as progress:
        spec = contender.spec
        outcome = conduct(measure, progress, spec.measure.max_s, longest_first_step_s(spec))

    result = result_of(outcome.recording, model)
    try:
        hand_over([result], where, quiet=quiet, full=full)
    finally:
        logged = log_result(result, trackers, quiet)
        append_history(outcome.recording, append, quiet)
    if outcome.trace_kept and not quiet:
        print(f"written: {trace}", file=sys.stderr)
    if outcome.exit_code and quiet:  # else the caveats say it
        ends = outcome.recording.trials[0].incidents[-1:]
        report(f"{ends[0].detail}; what was measured before it is kept" if ends else "it failed")
    if outcome.exit_code or logged:
        raise typer.Exit(outcome.exit_code or logged)
