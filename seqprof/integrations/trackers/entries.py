"""A result as any experiment tracker takes it: parameters, scalars, series and notes.

A value that could not be measured is not logged at all, never as zero; the notes say why. A name
holds what tells values apart, and the unit as elsewhere in seqprof: ``phase_time_s/forward/host``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from seqprof.analysis.catalogue import every_quantity

if TYPE_CHECKING:
    from seqprof.analysis.rows import Row
    from seqprof.recording import Recording
    from seqprof.reports.formats import Result

Plain = str | int | float | bool
#: Points of all series over the timestep together: trackers take each in a call or record of its
#: own. Beyond it neighbouring timesteps share a point, their median.
MOST_TIMESTEP_POINTS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What one tracker's run holds.

    Attributes:
        title: name of the run.
        created: when it was measured, ISO 8601, UTC.
        parameters: the spec and the environment, ``a.b.c`` to a plain value; null ones left out.
        scalars: name to value.
        series: name to points ``(x, value)``, x rising: the timestep where the name begins with
            ``timestep_``, else the sequence length T.
        notes: Markdown: the outcome, what to beware of, what was not measured, and how each value
            was.
    """

    title: str
    created: str
    parameters: dict[str, Plain]
    scalars: dict[str, float]
    series: dict[str, tuple[tuple[int, float], ...]]
    notes: str


def entries(result: Result) -> Entries:
    """Return what a tracker is given of a ``run`` or a ``scale``."""
    recording = result.recording
    assert recording is not None  # both commands record
    # What the profiler calls kernels has names too long and too many for a list of metrics.
    rows = [row for row in result.rows(MOST_TIMESTEP_POINTS) if row.kernel is None]
    return Entries(
        title=_title(recording),
        created=recording.created,
        parameters=dict(_parameters(recording)),
        scalars={
            _name(row): row.value for row in rows if _x(row) is None and row.value is not None
        },
        series=_series(rows),
        notes=_notes(result, rows),
    )


def _title(recording: Recording) -> str:
    models = dict.fromkeys(
        [candidate.label for candidate in recording.candidates]
        or [trial.workload.model for trial in recording.trials]
    )
    return f"{recording.kind} {' '.join(models)} {recording.created}"


def _parameters(recording: Recording) -> Iterator[tuple[str, Plain]]:
    yield "command", recording.command
    if all(trial.loop is None for trial in recording.trials):
        yield "seed", recording.seed
    yield from _flat("spec", recording.spec)
    for candidate in recording.candidates:
        # Length and batch differ between the trials of a candidate: they are the axes.
        yield from _flat(f"candidate.{candidate.label}", candidate.spec.get("model"))
    yield from _flat("environment", asdict(recording.environment))
    if recording.kind == "run":
        yield from _flat("workload", asdict(recording.trials[0].workload))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Plain]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{path}.{key}", part)
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(str, value))
    elif isinstance(value, Plain):
        yield path, value


def _x(row: Row) -> int | None:
    return row.timestep if row.timestep is not None else row.seq_len


def _name(row: Row) -> str:
    parts = (
        row.metric + every_quantity()[row.metric].dimension.suffix,
        row.phase,
        row.candidate,
        f"against_{row.against}" if row.against else None,
        f"batch_{row.batch_size}" if row.batch_size else None,
        row.loop,
        row.clock,
        row.cause,
    )
    return "/".join(part.replace("/", "_") for part in parts if part)


def _series(rows: Sequence[Row]) -> dict[str, tuple[tuple[int, float], ...]]:
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        x = _x(row)
        if x is not None and row.value is not None:
            series.setdefault(_name(row), []).append((x, row.value))
    return {name: tuple(sorted(points)) for name, points in series.items()}


def _notes(result: Result, rows: Sequence[Row]) -> str:
    summary = result.summary
    outcome = summary.verdict.sentences if result.kind == "run" else summary.sentences
    return "\n".join(
        (
            f"`{summary.header.command if result.kind == 'run' else summary.command}`",
            "",
            *outcome,
            *_section("Beware", (_caveat(caveat) for caveat in summary.caveats)),
            *_section("Not measured, and why", _grouped(_missing(rows))),
            *_section("How each value was measured", _grouped(_methods(rows))),
        )
    )


def _section(title: str, items: Iterable[str]) -> Iterator[str]:
    listed = [f"- {item}" for item in items]
    if listed:
        yield from ("", f"## {title}", "", *listed)


def _caveat(caveat: Any) -> str:
    return f"**{caveat.severity}**: {caveat.text} ({caveat.evidence}). Remedy: {caveat.remedy}"


def _missing(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.value is None and row.timestep is None:
            at = f" at T = {row.seq_len}" if row.seq_len is not None else ""
            yield row.reason or "no reason is recorded", f"`{_name(row)}`{at}"


def _methods(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.value is not None:
            shared = ", median of neighbouring timesteps" if row.timesteps > 1 else ""
            yield row.method + shared, f"`{_name(row)}`"


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say a thing once, with all the names that it is true of."""
    names: dict[str, dict[str, None]] = {}
    for what, name in pairs:
        names.setdefault(what, {})[name] = None
    for what, those in names.items():
        yield f"{what}: {', '.join(those)}"
