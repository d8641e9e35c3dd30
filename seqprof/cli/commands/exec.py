"""`seqprof exec`: run a command as it is, and measure the training loop in it."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqprof.cli.options import AppendTo, AsJson, FormatName, Full, Quiet

if TYPE_CHECKING:
    from seqprof.attach.outside.launch import Ended
    from seqprof.cli.live import LiveView
    from seqprof.recording import Recording


def exec_(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="The command after `--`: python train.py …"),
    ],
    steps: Annotated[
        int, typer.Option("--steps", min=2, metavar="N", help="Measured steps of a window.")
    ] = 100,
    warmup: Annotated[
        int, typer.Option("--warmup", min=3, metavar="N", help="Steps before them.")
    ] = 4,
    budget: Annotated[
        float,
        typer.Option(
            "--budget",
            min=0.0,
            metavar="SHARE",
            help="Share of a step that marks may cost.",
        ),
    ] = 0.01,
    operations: Annotated[
        bool,
        typer.Option(
            "--operations/--no-operations", help="Count the operations of one warm-up step."
        ),
    ] = True,
    live: Annotated[
        bool, typer.Option("--live", help="On a terminal: the timesteps while it runs.")
    ] = False,
    every: Annotated[
        int,
        typer.Option("--every", min=0, metavar="N", help="A window again each N steps; 0: one."),
    ] = 0,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the script when the window is complete.")
    ] = False,
    outputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="As of `run`; a folder, or several ranks: one file a rank in a folder.",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="FILE",
            help="Keep the trace of 3 more steps under torch.profiler (.json.gz, Perfetto).",
        ),
    ] = None,
    format_name: FormatName = None,
    append: AppendTo = None,
    full: Full = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a command as it is, and measure the training loop in it.

    The script is not changed; its output, exit code and results are as without seqprof. What was
    measured is printed to standard error when it has ended.

    \b
    seqprof exec -- python train.py --lr 1e-3
    seqprof exec -o run.json --steps 60 -- python -m package.train
    """
    from seqprof.attach.options import AttachOptions
    from seqprof.attach.outside.beside import Beside
    from seqprof.attach.outside.launch import check_command, run, with_interpreter
    from seqprof.cli.appending import append_history, check_history
    from seqprof.cli.places import Places, windows_of
    from seqprof.samplers.host import HostMeter
    from seqprof.store import check_writable

    _check_every(every, steps + warmup, stop=stop)
    command = with_interpreter(command)
    check_command(command)
    places = Places(outputs or [], format_name, as_json)
    check_history(append)
    if trace is not None:
        check_writable(trace)
    with tempfile.TemporaryDirectory(prefix="seqprof-") as folder:
        options = AttachOptions(
            folder=folder,
            steps=steps,
            warmup=warmup,
            stop=stop,
            budget=budget,
            trace=trace is not None,
            operations=operations,
            every=every,
        )
        view = _view(steps + warmup, live=live, quiet=quiet)
        beside = Beside(Path(folder), view.show if view else None)
        host = HostMeter(children=True)
        try:
            ended = run(command, options, beside.look)
        finally:
            if view:
                view.close()
        load, sampled = host.stop(), beside.finish()
        from seqprof.attach.outside.gather import (  # the script did not wait for it
            Circumstances,
            gather,
        )

        recordings = gather(
            Path(folder),
            Circumstances(
                command=shlex.join(["seqprof", *sys.argv[1:]]),
                options={"steps": steps, "warmup": warmup, "budget": budget, "every": every},
                exit_code=ended.exit_code,
                ended=_how(ended),
                host=load,
                sampled=sampled,
                sampled_from_ns=beside.origin_ns,
                trace=trace,
            ),
        )
        if recordings:
            places.write(recordings, quiet=quiet, full=full)
            for recording in windows_of(recordings):
                append_history(recording, append, quiet)
            if trace is not None and not quiet:
                _say_where_traces_are(recordings, trace)
        else:
            _say_why_nothing(Path(folder), command)
    raise typer.Exit(ended.exit_code)


def _check_every(every: int, window: int, *, stop: bool) -> None:
    """Refuse windows that would overlap, or a second one of a script that is ended."""
    from seqprof.errors import EXIT_BAD_INPUT, SeqprofError

    if every and every <= window:
        raise SeqprofError(
            f"--every {every}: a window takes {window} steps (--warmup and --steps)",
            f"--every {2 * window}, or a smaller --steps",
            exit_code=EXIT_BAD_INPUT,
        )
    if every and stop:
        raise SeqprofError(
            "--stop ends the script after the first window, and --every asks for more",
            "leave one of them out",
            exit_code=EXIT_BAD_INPUT,
        )


def _view(steps: int, *, live: bool, quiet: bool) -> LiveView | None:
    """What is shown meanwhile: nothing with `-q`, and where standard error is no terminal."""
    from seqprof.cli.live import LiveView

    if quiet or not sys.stderr.isatty():
        return None
    return LiveView(steps, timesteps=live)


def _how(ended: Ended) -> str:
    if ended.signal is not None:
        return f"the script was ended by signal {ended.signal}"
    return f"the script ended with exit code {ended.exit_code}"


def _say_why_nothing(folder: Path, command: list[str]) -> None:
    from seqprof.attach.outside.gather import failures, watched

    for failure in failures(folder):
        print(f"seqprof: watching failed: {failure}", file=sys.stderr)
    if watched(folder):
        why = "no training step was seen"
    else:
        why = (
            f"'{command[0]}' imported no torch, or its Python does not see the PYTHONPATH that "
            "seqprof has set (-E, -I, or the command sets another)"
        )
    print(f"seqprof: nothing was measured: {why}", file=sys.stderr)


def _say_where_traces_are(recordings: list[Recording], trace: Path) -> None:
    """As of `run`; where there is none, why."""
    from seqprof.attach.outside.gather import of_rank

    for recording in recordings:
        trial = recording.trials[0]
        window = trial.loop.window if trial.loop is not None else 1
        path = of_rank(trace, recording.rank.rank, window)
        lost = [i.detail for i in trial.incidents if i.kind == "trace_not_written"]
        if trial.profile is not None and trial.profile.steps and not lost:
            print(f"written: {path}", file=sys.stderr)
        else:
            reason = trial.profile.reason if trial.profile is not None else None
            why = lost[0] if lost else reason or "no step was profiled"
            print(f"seqprof: no trace: {why}", file=sys.stderr)
