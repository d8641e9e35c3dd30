"""Results in Prometheus' text format 0.0.4, as the node exporter's textfile collector reads it.

Base units; every number of the summary, but no single timestep (a series each would be too many).
What could not be measured has no sample. Where a value has a 95 % interval, ``_low`` and ``_high``
stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from seqprof.analysis.catalogue import quantities_of
from seqprof.analysis.quantities import TIME, Quantity
from seqprof.analysis.rows import Row
from seqprof.errors import SeqprofError
from seqprof.recording import Environment, Workload
from seqprof.reports.escaping import one_line, printable
from seqprof.reports.formats import Format, Result

#: Fields of a row that are labels, and how the label is called.
_LABELS = {
    "candidate": "candidate",
    "against": "against",
    "seq_len": "seq_len",
    "batch_size": "batch_size",
    "phase": "phase",
    "loop": "loop",
    "cause": "cause",
}
SEVERITIES = ("error", "warning", "note")


@dataclass(slots=True)
class _Family:
    about: str
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def render(results: Sequence[Result]) -> bytes:
    """Return the exposition of all results; the label ``run`` tells them apart.

    Raises:
        SeqprofError: two results have the same name.
    """
    names = [one_line(result.name) for result in results]
    if len(set(names)) < len(names):
        raise SeqprofError(
            "prometheus: two results have one name, which would give two values for one series",
            "name each file once",
        )
    families: dict[str, _Family] = {}
    for name, result in zip(names, results, strict=True):
        for family, about, labels, value in (*_whole(result), *_measured(result)):
            key = (("run", name), *labels)
            families.setdefault(family, _Family(about)).samples[key] = value
    return "".join(line for name in families for line in _exposed(name, families[name])).encode()


_Sample = tuple[str, str, tuple[tuple[str, str], ...], float]


def _measured(result: Result) -> Iterator[_Sample]:
    quantities = quantities_of(result.kind)
    for row in result.rows(most_timestep_rows=0):
        quantity = quantities[row.metric]
        if quantity.prometheus is None or row.value is None or row.timestep is not None:
            continue
        labels = _labels(row, quantity)
        for suffix, value in (("", row.value), ("_low", row.low), ("_high", row.high)):
            if value is not None:
                bound = f" The {suffix[1:]} end of the 95 % interval." if suffix else ""
                name = quantity.prometheus_name(suffix)
                yield name, quantity.definition + bound, labels, value


def _labels(row: Row, quantity: Quantity) -> tuple[tuple[str, str], ...]:
    labels = [
        (label, str(value))
        for field_, label in _LABELS.items()
        if (value := getattr(row, field_)) is not None
    ]
    if row.loop is not None and row.clock is not None and quantity.dimension is TIME:
        labels.append(("clock", row.clock))
    return tuple(labels)


def _whole(result: Result) -> Iterator[_Sample]:
    """Yield what is true of a result as a whole."""
    summary = result.summary
    header = summary.header if result.kind == "run" else summary
    workload = header.workload if result.kind == "run" else None
    about = _about(header.environment, workload, result.kind)
    yield "seqprof_info", "What was measured where; always 1", about, 1.0
    with suppress(ValueError):  # a recording says when, but nobody can be kept from editing it
        created = datetime.fromisoformat(header.created).timestamp()
        yield "seqprof_created_timestamp_seconds", "When it was measured", (), created
    if workload is not None:
        if workload.timesteps is not None:
            yield "seqprof_timesteps", "T, timesteps of a sequence", (), workload.timesteps
        if workload.batch_size is not None:
            yield "seqprof_batch_size", "Sequences in a batch", (), workload.batch_size
        if workload.parameters is not None:
            yield "seqprof_parameters", "Parameters of the model", (), workload.parameters
    for severity in SEVERITIES:
        number = sum(caveat.severity == severity for caveat in summary.caveats)
        yield "seqprof_caveats", "Reasons to doubt the numbers", (("severity", severity),), number


def _about(
    environment: Environment, workload: Workload | None, kind: str
) -> tuple[tuple[str, str], ...]:
    model: tuple[tuple[str, str], ...] = ()
    if workload is not None:
        model = (
            ("model", workload.model),
            ("execution", workload.execution or ""),
            ("precision", workload.precision),
        )
    return (
        ("kind", kind),
        *model,
        ("device", environment.device.name),
        ("torch", environment.torch),
        ("version", environment.seqprof),
    )


def _exposed(name: str, family: _Family) -> Iterator[str]:
    yield f"# HELP {name} {family.about}\n"
    yield f"# TYPE {name} gauge\n"
    for labels, value in family.samples.items():
        joined = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"{name}{{{joined}}} {float(value)!r}\n"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


PROMETHEUS = Format(
    name="prometheus",
    title="text exposition for Prometheus, as for the node exporter's textfile collector",
    suffixes=(".prom",),
    kinds=frozenset({"run", "compare", "scale"}),
    several=True,
    render=render,
)
