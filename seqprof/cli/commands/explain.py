"""`seqprof explain`: why recurrence does not parallelize over time, tested on this machine."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from seqprof.cli.options import (
    MODEL_WORDS,
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqprof.measure.candidates import Contender

#: A recurrence, what has no chain, and a scan.
_DEFAULT = ("lstm", "attention", "mingru")
#: Small enough that all of it fits into a minute on two cores, on those that no other program uses
#: now; specs are taken as they are.
_SIZES = (
    "model.hidden_size=64",
    "data.seq_len=64",
    "data.batch_size=8",
    "measure.threads=free",
)


def explain(
    candidates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CANDIDATE...]",
            help=MODEL_WORDS + " The argument is about the first, the others are held against it "
            f"(default: {' '.join(_DEFAULT)}).",
            show_default=False,
        ),
    ] = None,
    config: StartFrom = None,
    overrides: Overrides = None,
    hidden: Hidden = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="When to stop: 60s, 5m.")
    ] = "60s",
    outputs: Outputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Test the argument about recurrence on this machine, claim by claim.

    \b
    seqprof explain
    seqprof explain gru attention -o page.html
    seqprof explain my.module:build @attention --budget 5m
    """
    from time import perf_counter_ns

    from seqprof.cli.output import destinations, hand_over

    began_ns = perf_counter_ns()

    where = destinations(["explain"], outputs, format_name, as_json)

    from seqprof.cli.progress import stage_progress
    from seqprof.measure.candidates import parse_duration, resolve
    from seqprof.measure.names import look_up
    from seqprof.reports.formats import Result

    words = tuple(candidates or _DEFAULT)
    specs = config is not None or any(look_up(word).path is not None for word in words)
    wanted = [*(() if specs else _SIZES), *(overrides or []), *size_overrides(hidden)]
    contenders = resolve(words, config, wanted)
    budget_s = parse_duration(budget, "--budget")
    marked = _marked(words, contenders)

    from seqprof.measure.explain.plan import ExplainPlan
    from seqprof.measure.explain.session import measure_explanation

    plan = ExplainPlan(
        contenders=contenders,
        words=words,
        marked=marked,
        overrides=tuple(wanted),
        based=config is not None,
        budget_s=budget_s,
        began_ns=began_ns,
    )
    command = shlex.join(["seqprof", *sys.argv[1:]])
    with stage_progress(enabled=not quiet) as progress:
        facts, exit_code = measure_explanation(plan, command, progress)
    from seqprof.analysis.explain.summary import explain as judge

    name = shlex.join(["explain", *words])
    result = Result(kind="explain", name=name, summary=judge(facts), recording=None)
    hand_over([result], where, quiet=quiet, full=full)
    if exit_code:
        raise typer.Exit(exit_code)


def _marked(words: Sequence[str], contenders: Sequence[Contender]) -> Contender:
    """Return the first candidate in the form whose timesteps can be seen."""
    from dataclasses import replace

    from seqprof.measure.names import look_up

    named, first = look_up(words[0]), contenders[0]
    if named.family is None or named.form or "cell" not in named.family.executions:
        return first
    model = first.spec.model.model_copy(update={"execution": "cell"})
    return replace(first, spec=first.spec.model_copy(update={"model": model}))
