"""`seqprof diff`: what changed between two recordings, and whether a build may pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from seqprof.cli.options import AsJson, FormatName, Full, Quiet, ReportOutputs

if TYPE_CHECKING:
    from seqprof.analysis.diff.differences import Differences
    from seqprof.analysis.diff.gate import Gate


class _Sides(typer.core.TyperCommand):
    """Takes several files after one ``--against``, as a shell makes them of ``new*.json``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args)))


def _spread(args: Sequence[str]) -> Iterator[str]:
    """Repeat ``--against`` before each file that follows it, up to the next option."""
    inside = False
    for word in args:
        if word.startswith("-") and word != "-":
            inside = word == "--against"
            if not inside:
                yield word
        elif inside:
            yield from ("--against", word)
        else:
            yield word
    if args and args[-1] == "--against":
        yield "--against"


def diff(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASE.json... [NEW.json]",
            help="The recordings before, and the one after; several after: --against.",
        ),
    ],
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="NEW.json...", help="The recordings after: new*.json."),
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(
            "--fail-if-slower",
            metavar="THRESHOLD",
            help="Exit with 3 if the new run is slower by more than this, interval and all: 5%.",
        ),
    ] = None,
    fail_if_inconclusive: Annotated[
        bool,
        typer.Option(
            "--fail-if-inconclusive",
            help="With --fail-if-slower: exit with 5 where too little was measured to tell.",
        ),
    ] = False,
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
    outputs: ReportOutputs = None,
    format_name: FormatName = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request: -f markdown.")
    ] = False,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Say what changed between two recordings: settings, times with intervals, timesteps, idle.

    Exit code 3: slower beyond --fail-if-slower, and that is significant. 5: inconclusive, with
    --fail-if-inconclusive. 2: not comparable (another device, T, batch …), or the gated metric
    could not be compared. 0: anything else.

    \b
    seqprof diff main.json branch.json
    seqprof diff main.json branch.json --fail-if-slower 5% --markdown >> "$GITHUB_STEP_SUMMARY"
    seqprof diff base*.json --against new*.json --fail-if-slower 5% --fail-if-inconclusive
    seqprof diff old.json new.json --metric phase_time.backward --metric peak_memory
    """
    from seqprof import store
    from seqprof.analysis.derived import derived
    from seqprof.analysis.diff import gate as gates
    from seqprof.analysis.diff.differences import find_differences
    from seqprof.analysis.diff.outcome import DiffOutcome
    from seqprof.cli.output import destinations, hand_over
    from seqprof.document_door import damage_told
    from seqprof.errors import SeqprofError
    from seqprof.reports.formats import Result
    from seqprof.reports.kinds import summarise

    if markdown and (as_json or format_name not in (None, "markdown")):
        other = "--json" if as_json else f"--format {format_name}"
        raise SeqprofError(f"--markdown and {other} contradict", "give one of them")
    where = destinations(["diff"], outputs, "markdown" if markdown else format_name, as_json)
    threshold = None if fail_if_slower is None else gates.parse_threshold(fail_if_slower)
    if fail_if_inconclusive and threshold is None:
        raise SeqprofError(
            "--fail-if-inconclusive needs a gate", "give --fail-if-slower 5% as well"
        )
    base, new = _sides(files, against or [])
    read = ([store.load(path) for path in side] for side in (base, new))
    with damage_told(*map(str, (*base, *new))):
        before, after = ([derived(each) for each in side] for side in read)
        differences = find_differences(
            before,
            after,
            (str(base[0]), str(new[0])),
            lambda recording: summarise(recording).caveats,
        )
        if differences.incomparable and not force:
            raise _incomparable(differences)
        keys = gates.choose(differences, metrics) if metrics else None
        gate = None
        if threshold is not None:
            gated = keys or gates.choose(differences, gates.DEFAULT_METRICS)
            gate = gates.hold(differences, threshold, gated)
        outcome = DiffOutcome(differences=differences, gate=gate, keys=keys)
        result = Result(kind="diff", name=str(new[0]), summary=outcome, recording=None)
        hand_over([result], where, quiet=quiet, full=full)
    if gate is not None:
        _finish(gate, fail_if_inconclusive)


def _sides(files: Sequence[Path], against: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files of the base and of the new program.

    Raises:
        SeqprofError: it is not clear which is which.
    """
    from seqprof.errors import SeqprofError

    if against:
        return list(files), list(against)
    if len(files) != 2:
        what = "one recording" if len(files) == 1 else f"{len(files)} recordings"
        raise SeqprofError(
            f"{what}, and not said which is new",
            "seqprof diff BASE.json NEW.json, or seqprof diff base*.json --against new*.json",
        )
    return [files[0]], [files[1]]


def _incomparable(differences: Differences) -> Exception:
    from seqprof.errors import SeqprofError

    lines = "\n".join(f"  {line}" for line in differences.incomparable)
    return SeqprofError(
        f"the recordings are not comparable:\n{lines}",
        "measure both alike, or compare them all the same with --force",
    )


def _finish(gate: Gate, fail_if_inconclusive: bool) -> None:
    """Leave with the exit code that the gate's outcome has; a failure outweighs what is unknown."""
    from seqprof.errors import EXIT_INCONCLUSIVE, EXIT_SLOWER, SeqprofError

    if gate.having("failed"):
        raise typer.Exit(EXIT_SLOWER)
    absent = gate.having("not compared")
    if absent:
        reasons = "\n".join(f"  {m.metric} ({m.case}): {m.reason}" for m in absent)
        raise SeqprofError(
            f"--fail-if-slower could not compare what it is to gate:\n{reasons}",
            "a gate does not pass what it cannot see: measure it in both runs, or choose --metric",
        )
    if fail_if_inconclusive and gate.having("inconclusive"):
        raise typer.Exit(EXIT_INCONCLUSIVE)


diff.parser = _Sides  # type: ignore[attr-defined]  # the application makes the command of it
