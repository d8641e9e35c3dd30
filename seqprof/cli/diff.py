"""`seqprof diff`: what changed between two recordings, and whether a build may pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seqprof.analysis.differences import Differences
    from seqprof.analysis.gate import Gate


def diff(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="The recording before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The recording after.")],
    more_base: Annotated[
        list[Path] | None,
        typer.Option("--base", metavar="FILE", help="A further recording of the base, for times."),
    ] = None,
    more_new: Annotated[
        list[Path] | None,
        typer.Option("--new", metavar="FILE", help="A further recording of the new program."),
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(
            "--fail-if-slower",
            metavar="THRESHOLD",
            help="Exit with 3 if the new run is slower by more than this, interval and all: 5%.",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Show (and gate) only this, as in step_time or phase_time.backward; may be given "
            "again. [gated by default: step_time]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare what is not comparable all the same.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the outcome only.")] = False,
) -> None:
    """Say what changed between two recordings: settings, times with intervals, timesteps, idle.

    Exit code 3: slower beyond --fail-if-slower, and that is significant. 2: not comparable
    (another device, T, batch …), or the gated metric could not be compared. 0: anything else.

    \b
    seqprof diff main.json branch.json
    seqprof diff main.json branch.json --fail-if-slower 5% --markdown >> "$GITHUB_STEP_SUMMARY"
    seqprof diff old.json new.json --metric phase_time.backward --metric peak_memory
    """
    from seqprof import store
    from seqprof.analysis import gate as gates
    from seqprof.analysis.differences import find_differences
    from seqprof.errors import SeqprofError

    if markdown and as_json:
        raise SeqprofError("--markdown and --json contradict", "give one of them")
    threshold = None if fail_if_slower is None else gates.parse_threshold(fail_if_slower)
    before = [store.load(path) for path in (base, *(more_base or ()))]
    after = [store.load(path) for path in (new, *(more_new or ()))]
    differences = find_differences(before, after, names=(str(base), str(new)))
    if differences.incomparable and not force:
        raise _incomparable(differences)
    keys = gates.choose(differences, metrics) if metrics else None
    gate = None
    if threshold is not None:
        gated = keys or gates.choose(differences, gates.DEFAULT_METRICS)
        gate = gates.hold(differences, threshold, gated)
    _present(differences, gate, keys, markdown=markdown, as_json=as_json, quiet=quiet)
    if gate is not None:
        _finish(gate)


def _incomparable(differences: Differences) -> Exception:
    from seqprof.errors import SeqprofError

    lines = "\n".join(f"  {line}" for line in differences.incomparable)
    return SeqprofError(
        f"the recordings are not comparable:\n{lines}",
        "measure both alike, or compare them all the same with --force",
    )


def _present(
    differences: Differences,
    gate: Gate | None,
    keys: tuple[str, ...] | None,
    *,
    markdown: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from seqprof import store

    if as_json:
        from seqprof.reports.diff_json import dumps

        store.write(dumps(differences, gate), store.STDOUT)
    elif markdown:
        from seqprof.reports.diff_markdown import render_markdown

        store.write(render_markdown(differences, gate, keys).encode(), store.STDOUT)
    else:
        from seqprof.reports.diff_console import print_differences

        print_differences(differences, gate, keys, quiet=quiet)


def _finish(gate: Gate) -> None:
    """Leave with the exit code that the gate's outcome has; a failure outweighs what is unknown."""
    from seqprof.errors import EXIT_SLOWER, SeqprofError

    if gate.having("failed"):
        raise typer.Exit(EXIT_SLOWER)
    absent = gate.having("not compared")
    if absent:
        told = "\n".join(f"  {m.metric} ({m.case}): {m.reason}" for m in absent)
        raise SeqprofError(
            f"--fail-if-slower could not compare what it is to gate:\n{told}",
            "a gate does not pass what it cannot see: measure it in both runs, or choose --metric",
        )
