"""`seqprof depth`: how long the chain of dependent operations is, without any hardware."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from seqprof.cli.options import AsJson, FormatName, Outputs
from seqprof.errors import EXIT_INTERRUPTED, SeqprofError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqprof.analysis.depth import OperationGraph
    from seqprof.analysis.model_depth import Assumptions, Recorded
    from seqprof.measure.depth_subjects import Subject
    from seqprof.workloads.registry import Family

#: What a MODEL argument stands for.
Kind: TypeAlias = Literal["spec", "family", "target"]
#: Assumed where no device is there to measure and none was given: a launch on a current GPU.
ASSUMED_KERNEL_LATENCY_S = 4e-6
_DEFAULT_LENGTH = 256
_DEFAULT_BATCH = 16
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PREFIXES = {"": 1.0, "G": 1e9, "T": 1e12, "P": 1e15}


def depth(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help="A family (lstm, or lstm@cell; see `seqprof list`), a YAML spec, or your own "
            "package.module:factory.",
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
            help="From one operation to the next that awaits it, as in 4us (default: measured on "
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
    outputs: Outputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Show how long the chain of dependent operations is and how it grows with T."""
    from seqprof.cli.output import destinations, hand_over
    from seqprof.store import check_writable

    where = destinations(["depth"], outputs, format_name, as_json)
    if dot is not None:
        check_writable(dot)
        if len(models) > 1:
            raise SeqprofError("--dot: a file holds the graph of one model", "name one model")
    latency = None if kernel_latency is None else parse_time(kernel_latency)
    peak = None if peak_flops is None else parse_rate(peak_flops)
    lengths = None if seq_len is None else parse_lengths(seq_len)
    kinds = [_kind(name, overrides or []) for name in models]
    if features is not None and "target" not in kinds:
        raise SeqprofError(
            f"--features: {models[0]} says itself what goes in",
            "it is for package.module:factory; in a spec see `data` and `model`",
        )

    from seqprof.analysis.model_depth import DepthSummary, derive  # from here on torch is loaded
    from seqprof.reports.formats import Result

    subjects = [
        _subject(name, kind, batch, features, overrides or [])
        for name, kind in zip(models, kinds, strict=True)
    ]
    assumptions = _assume(latency, peak)
    recorded, graph, failed = _record_all(subjects, lengths)
    depths = tuple(derive(one, assumptions) for one in recorded)
    if dot is not None:
        _write_dot(dot, graph, recorded[0].model, min(p.timesteps for p in recorded[0].points))
    found = DepthSummary(models=depths, assumptions=assumptions)
    name = shlex.join(["depth", *models])
    result = Result(kind="depth", name=name, summary=found, recording=None)
    hand_over([result], where, path=path)
    if dot is not None:
        typer.echo(f"written: {dot}", err=True)
    if failed is not None:
        raise failed


def _record_all(
    subjects: Sequence[tuple[Subject, list[int]]], lengths: list[int] | None
) -> tuple[list[Recorded], OperationGraph, SeqprofError | None]:
    """Record one model after the other; one that fails takes nothing from the others.

    Returns:
        What was recorded, the graph of the last, and the first failure.

    Raises:
        SeqprofError: that failure, where nothing was recorded.
    """
    from seqprof.cli.progress import stage_progress
    from seqprof.measure.depth import record_lengths

    found: list[tuple[Recorded, OperationGraph]] = []
    failed = None
    with stage_progress(enabled=True) as progress:
        for subject, own in subjects:
            progress.stage(f"recording {subject.name}", None)
            try:
                found.append(record_lengths(subject, lengths or own, progress.advance))
            except SeqprofError as error:
                failed = failed or error
            except KeyboardInterrupt:
                message = f"interrupted while recording {subject.name}"
                failed = SeqprofError(message, exit_code=EXIT_INTERRUPTED)
                break
    if failed is not None and not found:
        raise failed
    return [recorded for recorded, _ in found], found[-1][1], failed


def _write_dot(path: Path, graph: OperationGraph, model: str, timesteps: int) -> None:
    from seqprof import store
    from seqprof.analysis.depth import dot as to_dot

    store.write(to_dot(graph, f"{model}, T = {timesteps}").encode(), path)


def _assume(latency_s: float | None, peak: float | None) -> Assumptions:
    from seqprof.analysis.model_depth import Assumptions
    from seqprof.measure.kernel_latency import present_device

    device = present_device()
    if latency_s is not None:
        source = "given"
    elif device is not None and device.kernel_latency_s is not None:
        latency_s, source = device.kernel_latency_s, f"measured on {device.name}"
    else:
        latency_s, source = ASSUMED_KERNEL_LATENCY_S, "assumed; --kernel-latency says another"
    if peak is not None:
        peak_source = "given"
    elif device is not None and device.peak_flops is not None:
        peak, peak_source = device.peak_flops, f"datasheet of {device.name}, fp32"
    else:
        peak_source = "no accelerator whose datasheet is known; give --peak-flops"
    return Assumptions(
        kernel_latency_s=latency_s, latency_source=source, peak_flops=peak, peak_source=peak_source
    )


def _kind(name: str, overrides: Sequence[str]) -> Kind:
    """Return what ``name`` stands for; refused before torch is loaded.

    Raises:
        SeqprofError: it stands for nothing.
    """
    from seqprof.suggest import did_you_mean
    from seqprof.workloads.registry import families

    if name.endswith((".yaml", ".yml")):
        return "spec"
    _refuse_python_file(name)
    if Path(name).is_file():
        return "spec"
    family, execution = _family_and_form(name)
    known = families().get(family)
    if known is not None:
        if execution and execution not in known.executions:
            raise _no_form(known, execution)
        others = [text for text in overrides if not text.startswith("model.")]
        if others:
            raise SeqprofError(
                f"--set {others[0]}: {name} is run without data and optimizer: only keys of "
                "`model` mean something",
                "write a YAML spec to see the whole model with its loss",
            )
        return "family"
    if ":" in name:
        _refuse_form(name)
        if overrides:
            hint = "put it into a spec, with model.target and model.kwargs"
            raise SeqprofError(f"--set: {name} is neither a family nor a YAML spec", hint)
        return "target"
    raise SeqprofError(
        f"{name!r} is neither a family, a YAML spec nor package.module:factory"
        f"{did_you_mean(family, families())}",
        "`seqprof list` lists the families",
    )


def _no_form(family: Family, form: str) -> SeqprofError:
    known = ", ".join(f"{family.name}@{form}" for form in family.executions) or family.name
    return SeqprofError(
        f"{family.name} has no form {form!r}", f"known: {known}; `seqprof list` describes them"
    )


def _refuse_form(name: str) -> None:
    """``lstm:cel`` is a mistyped form, unless there is a module of that name."""
    from importlib.util import find_spec

    from seqprof.workloads.registry import families

    before, _, after = name.partition(":")
    known = families().get(before)
    if known is not None and not Path(f"{before}.py").exists() and find_spec(before) is None:
        raise _no_form(known, after)


def _refuse_python_file(name: str) -> None:
    """A file's path is not the module's name, which ``package.module:factory`` needs."""
    path, colon, factory = name.partition(":")
    if not path.endswith(".py"):
        return
    module = ".".join(Path(path.removesuffix(".py")).parts)
    raise SeqprofError(
        f"{name}: your own module is named as in `import`, with what builds it",
        f"seqprof depth {module}:{factory if colon and factory else 'build'}",
    )


def _family_and_form(name: str) -> tuple[str, str]:
    """Split ``lstm@cell`` into family and form, which may be empty; ``lstm:cell`` means the same.

    Any other ``lstm:…`` is a module of the user's own.
    """
    from seqprof.workloads.registry import families

    family, at, form = name.partition("@")
    if not at:
        before, _, after = name.partition(":")
        known = families().get(before)
        if known is not None and after in known.executions:
            return before, after
    return family, form


def _subject(
    name: str, kind: Kind, batch: int | None, features: int | None, overrides: Sequence[str]
) -> tuple[Subject, list[int]]:
    """Return the model that ``name`` stands for, and the lengths where none were asked for."""
    from seqprof.measure.depth_subjects import config_subject, family_subject, target_subject
    from seqprof.spec_file import load_spec, load_spec_text

    default = [_DEFAULT_LENGTH]
    if kind == "spec":
        loaded = load_spec(name, overrides)
        lengths = [loaded.spec.data.seq_len]
        return config_subject(loaded.spec, loaded.folder, Path(name).stem, batch), lengths
    if kind == "target":
        return target_subject(name, features, batch or _DEFAULT_BATCH), default
    family, execution = _family_and_form(name)
    form = [f"model.execution={execution}"] if execution else []
    loaded = load_spec_text(f"model: {{name: {family}}}\n", name, [*overrides, *form])
    return family_subject(loaded.spec.model, batch or _DEFAULT_BATCH), default


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
    found = re.fullmatch(r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([a-zµμ]+)\s*", text)
    if found is None or found[2] not in _UNITS or not 0 < float(found[1]) < 1e9:
        raise SeqprofError(f"--kernel-latency: {text!r} is no time", "give a unit, as in 4us")
    return float(found[1]) * _UNITS[found[2]]


def parse_rate(text: str) -> float:
    """Return the FLOP/s in ``60T``, ``500G`` or ``6e13``.

    Raises:
        SeqprofError: it is no positive rate.
    """
    found = re.fullmatch(r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([GTP]?)\s*", text)
    if found is None or not 0 < float(found[1]) < 1e30:
        raise SeqprofError(f"--peak-flops: {text!r} is no rate", "give FLOP/s, as in 60T or 6e13")
    return float(found[1]) * _PREFIXES[found[2]]
