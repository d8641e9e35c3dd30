"""`seqprof depth`: how long the chain of dependent operations is, without any hardware."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqprof.cli.options import MODEL_WORDS, AsJson, FormatName, Full, Quiet, ReportOutputs
from seqprof.errors import SeqprofError, exit_code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqprof.analysis.depth.model_depth import Recorded
    from seqprof.analysis.depth.operation_graph import OperationGraph
    from seqprof.measure.depth.subjects import Subject
    from seqprof.measure.names import Named

_DEFAULT_LENGTH = 256
_DEFAULT_BATCH = 16
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PREFIXES = {"": 1.0, "G": 1e9, "T": 1e12, "P": 1e15}


def depth(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help=MODEL_WORDS,
            show_default=False,
        ),
    ],
    seq_len: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Lengths: 512, 16:512 (doubling), or 16,100,512. Figures are for the longest "
            f"(default: the spec's, else {_DEFAULT_LENGTH}). The law takes short ones besides.",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="B", help=f"Batch (default: the spec's, or {_DEFAULT_BATCH})."),
    ] = None,
    features: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="F",
            help="A package.module:factory gets numbers [B, T, F] (default: tokens [B, T]).",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a key of the specs (of families: of `model`), as in model.layers=2.",
        ),
    ] = None,
    kernel_latency: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time per dependent operation, as in 4us (default: measured on "
            "a device that is present, else 4us assumed).",
        ),
    ] = None,
    peak_flops: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="FLOP/s at best, as in 60T (default: the present device's)."
        ),
    ] = None,
    path: Annotated[
        bool, typer.Option("--path", help="List the longest chain, run-length coded.")
    ] = False,
    dot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the graph of one model at its shortest T for Graphviz."
        ),
    ] = None,
    outputs: ReportOutputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Show how long the chain of dependent operations is and how it grows with T.

    \b
    seqprof depth lstm attention mingru
    seqprof depth @lstm --seq-len 16:512 --path
    seqprof depth my.module:build --features 16
    """
    from seqprof.cli.output import destinations, hand_over
    from seqprof.measure.names import look_up
    from seqprof.store import check_writable

    where = destinations(["depth"], outputs, format_name, as_json)
    if dot is not None:
        check_writable(dot)
        if len(models) > 1:
            raise SeqprofError("--dot: a file holds the graph of one model", "name one model")
    latency = None if kernel_latency is None else parse_time(kernel_latency)
    peak = None if peak_flops is None else parse_rate(peak_flops)
    lengths = None if seq_len is None else parse_lengths(seq_len)
    subjects_named = [look_up(word) for word in models]  # refused before torch is loaded
    for named in subjects_named:
        _check_overrides(named, overrides or [])
    if features is not None and all(named.kind != "target" for named in subjects_named):
        raise SeqprofError(
            f"--features: {models[0]} says itself what goes in",
            "it is for package.module:factory; in a spec see `data` and `model`",
        )

    from seqprof.analysis.depth.model_depth import (  # from here on torch is loaded
        DepthSummary,
        derive,
    )
    from seqprof.measure.depth.subjects import subject_of
    from seqprof.measure.trial.kernel_latency import assume
    from seqprof.reports.document import View
    from seqprof.reports.formats import Result

    subjects = [
        (subject, lengths or [own or _DEFAULT_LENGTH])
        for subject, own in (
            subject_of(named, batch, overrides or [], features) for named in subjects_named
        )
    ]
    assumptions = assume(latency, peak)
    recorded, graph, failed = _record_all(subjects)
    depths = tuple(derive(one, assumptions) for one in recorded)
    if dot is not None:
        _write_dot(dot, graph, recorded[0].model, min(p.timesteps for p in recorded[0].points))
    summary = DepthSummary(models=depths, assumptions=assumptions)
    name = shlex.join(["depth", *models])
    result = Result(kind="depth", name=name, summary=summary, recording=None)
    hand_over([result], where, quiet=quiet, full=full, view=View(full=full, path=path))
    if dot is not None:
        typer.echo(f"written: {dot}", err=True)
    if failed is not None:
        raise failed


def _record_all(
    subjects: Sequence[tuple[Subject, list[int]]],
) -> tuple[list[Recorded], OperationGraph, SeqprofError | None]:
    """Record one model after the other; one that fails takes nothing from the others.

    Returns:
        What was recorded, the graph of the last, and the first failure.

    Raises:
        SeqprofError: that failure, where nothing was recorded.
    """
    from seqprof.cli.progress import stage_progress
    from seqprof.instruments.torch_bridge import current_accelerator
    from seqprof.measure.depth.counted import record_lengths

    device = current_accelerator()
    done: list[tuple[Recorded, OperationGraph]] = []
    failed = None
    with stage_progress(enabled=True) as progress:
        for subject, lengths in subjects:
            progress.stage(f"recording {subject.name}", None)
            try:
                done.append(record_lengths(subject, lengths, progress.advance, device))
            except SeqprofError as error:
                failed = failed or error
            except KeyboardInterrupt as end:
                message = f"interrupted while recording {subject.name}"
                by = f" ({end})" if str(end) else ""
                failed = SeqprofError(message + by, exit_code=exit_code_of(end))
                break
    if failed is not None and not done:
        raise failed
    return [recorded for recorded, _ in done], done[-1][1], failed


def _write_dot(path: Path, graph: OperationGraph, model: str, timesteps: int) -> None:
    from seqprof import store
    from seqprof.analysis.depth.graph import dot as to_dot

    store.write(to_dot(graph, f"{model}, T = {timesteps}").encode(), path)


def _check_overrides(named: Named, overrides: Sequence[str]) -> None:
    """Refuse what means nothing to a model that is recorded without data and optimizer.

    Raises:
        SeqprofError: an override would be ignored.
    """
    others = [text for text in overrides if not text.startswith("model.")]
    if named.kind == "family" and others:
        raise SeqprofError(
            f"--set {others[0]}: {named.word} is run without data and optimizer: only keys of "
            "`model` mean something",
            "write a YAML spec to see the whole model with its loss (`seqprof init`)",
        )
    if named.kind == "target" and overrides:
        hint = "put it into a spec, with model.target and model.kwargs (`seqprof init`)"
        raise SeqprofError(f"--set: {named.word} is neither a family nor a YAML spec", hint)


def parse_lengths(text: str) -> list[int]:
    """Return the lengths that ``512``, ``16:512`` (doubling) or ``16,100,512`` stand for.

    Raises:
        SeqprofError: it is none of these, or a length is below 1.
    """
    problem = SeqprofError(
        f"--seq-len: {text!r} is no length", "give 512, or 16:512 (doubling), or 16,100,512"
    )
    first, colon, last = text.partition(":")
    if not re.fullmatch(r"\d{1,9}(:\d{1,9}|(,\d{1,9})*)", text):
        raise problem
    lengths = [int(part) for part in text.split(",")] if not colon else [int(first), int(last)]
    if min(lengths) < 1 or (colon and lengths[0] > lengths[1]):
        raise problem
    if colon:
        start, stop = lengths
        lengths = [start << k for k in range(32) if start << k < stop] + [stop]
    return sorted(set(lengths))


def parse_time(text: str) -> float:
    """Return the seconds in ``4us``, ``4 µs``, ``0.004ms`` or ``4e-6s``.

    Raises:
        SeqprofError: it is no positive time.
    """
    match = re.fullmatch(r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([a-zµμ]+)\s*", text)
    if match is None or match[2] not in _UNITS or not 0 < float(match[1]) < 1e9:
        raise SeqprofError(f"--kernel-latency: {text!r} is no time", "give a unit, as in 4us")
    return float(match[1]) * _UNITS[match[2]]


def parse_rate(text: str) -> float:
    """Return the FLOP/s in ``60T``, ``500G`` or ``6e13``.

    Raises:
        SeqprofError: it is no positive rate.
    """
    match = re.fullmatch(r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([GTP]?)\s*", text)
    if match is None or not 0 < float(match[1]) < 1e30:
        raise SeqprofError(f"--peak-flops: {text!r} is no rate", "give FLOP/s, as in 60T or 6e13")
    return float(match[1]) * _PREFIXES[match[2]]
