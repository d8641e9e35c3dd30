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

from seqprof.analysis.rows import Row
from seqprof.errors import SeqprofError
from seqprof.recording import Environment, Workload
from seqprof.reports.escaping import one_line, printable
from seqprof.reports.formats import Format, Result

#: Metric of a row to the name without prefix, its unit, and what it is.
FAMILIES = {
    "step_time": ("step_time", "seconds", "Wall time of a training step, median of bare steps"),
    "step_time_ratio": ("step_time", "ratio", "Step time of a candidate over the baseline's"),
    "throughput": (
        "throughput",
        "timesteps_per_second",
        "Timesteps trained per second, no padding",
    ),
    "perturbation": ("perturbation", "ratio", "By how much marking timesteps slows a step"),
    "padding_share": ("padding", "ratio", "Padded over computed timesteps"),
    "phase_time": ("phase_time", "seconds", "Time of a phase of a step, median of bare steps"),
    "phase_share": ("phase_share", "ratio", "Time of a phase over that of its step"),
    "phase_host_time": ("phase_host_time", "seconds", "Time the host spends in a phase"),
    "operations": ("operations", "", "Tensor operations launched in a phase of one step"),
    "peak_memory": ("peak_memory", "bytes", "Largest memory in use during a phase"),
    "nvml_utilization": ("nvml_utilization", "ratio", "NVML's GPU utilization, phase alone"),
    "busy_fraction": ("kernel_busy", "ratio", "Time in which any kernel runs, profiled steps"),
    "sm_active": ("sm_active", "ratio", "Share of active multiprocessors (NVML GPM), phase alone"),
    "sm_occupancy": ("sm_occupancy", "ratio", "Occupancy of multiprocessors (NVML GPM)"),
    "model_flops_utilization": ("model_flops_utilization", "ratio", "Model FLOP/s over the peak"),
    "core_busy_fraction": ("core_busy", "ratio", "Process CPU time over wall time x threads"),
    "idle_time": ("idle_time", "seconds", "Time of a phase in which the device or cores idle"),
    "idle_time_by_cause": ("idle_time_by_cause", "seconds", "Idle time in profiled steps"),
    "profiler_slowdown": ("profiler_slowdown", "ratio", "Profiled steps over bare ones"),
    "timestep_latency_typical": (
        "timestep_latency",
        "seconds",
        "Latency of a typical timestep: median over timesteps of their medians",
    ),
    "loop_time": ("loop_time", "seconds", "Loop over timesteps, first mark to last"),
    "operations_per_timestep": ("timestep_operations", "", "Tensor operations in a timestep"),
    "marginal_time_per_timestep": (
        "marginal_timestep_time",
        "seconds",
        "Derived cost of one more timestep",
    ),
    "power": ("power", "watts", "Mean power, phase repeated alone"),
    "energy_per_repetition": ("energy", "joules", "Energy of one repetition of a phase"),
    "depth": ("depth_operations", "", "Operations on the longest chain of a step, derived"),
    "depth_work": ("work_operations", "", "Operations of a step in all, derived"),
    "flop_rate": ("flops_per_second", "", "Analytic FLOPs of matrix products per second"),
    "growth_with_length": ("length_growth_exponent", "", "Step time grows as T to this power"),
    "crossover_length": ("crossover_timesteps", "", "Length at which two models cost the same"),
}  # fmt: skip
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
#: Metrics of which the clock tells two series apart.
_BY_CLOCK = frozenset({"timestep_latency_typical", "loop_time"})
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
    for row in result.rows(most_timestep_rows=0):
        if row.metric not in FAMILIES or row.value is None or row.timestep is not None:
            continue
        base, unit, about = FAMILIES[row.metric]
        labels = _labels(row)
        interval = (("_low", row.low), ("_high", row.high))
        for suffix, value in (("", row.value), *interval):
            if value is not None:
                name = "_".join(part for part in (f"seqprof_{base}{suffix}", unit) if part)
                bound = f", {suffix[1:]} end of the 95 % interval" if suffix else ""
                yield name, about + bound, labels, value


def _labels(row: Row) -> tuple[tuple[str, str], ...]:
    found = [
        (label, str(value))
        for field_, label in _LABELS.items()
        if (value := getattr(row, field_)) is not None
    ]
    if row.metric in _BY_CLOCK and row.clock is not None:
        found.append(("clock", row.clock))
    return tuple(found)


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
        yield "seqprof_timesteps", "T, timesteps of a sequence", (), workload.timesteps
        yield "seqprof_batch_size", "Sequences in a batch", (), workload.batch_size
        yield "seqprof_parameters", "Parameters of the model", (), workload.parameters
    for severity in SEVERITIES:
        found = sum(caveat.severity == severity for caveat in summary.caveats)
        yield "seqprof_caveats", "Reasons to doubt the numbers", (("severity", severity),), found


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
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"{name}{{{told}}} {float(value)!r}\n"


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
