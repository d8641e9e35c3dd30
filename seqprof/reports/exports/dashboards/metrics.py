"""The dashboard of runs over time: it asks Prometheus for what `-f prometheus` exposes."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.reports.exports.dashboards import panels
from seqprof.reports.exports.dashboards.panels import Json

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
#: What a panel of runs asks of a series, and one of comparisons and scalings.
_RUNS, _OTHERS = 'run=~"$run"', 'run=~"$several"'
#: Columns of a table that Prometheus and Grafana add.
_NOT_OURS = ("Time", "Value", "__name__", "instance", "job")
#: Phases and what stands for the whole, in one series each.
_PHASE = "{{run}} {{phase}}"


def target(expression: str, legend: str, *, instant: bool = False, table: bool = False) -> Json:
    """Return the query of a panel, as the Prometheus data source keeps it.

    Args:
        expression: PromQL.
        legend: name of a series, from its ``{{label}}``.
        instant: the last value only, without the time range's others.
        table: as rows with a column for each label.
    """
    return {
        "datasource": DATASOURCE,
        "expr": expression,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def build(datasource_uid: str) -> Json:
    """Return the dashboard, without what every dashboard has.

    Args:
        datasource_uid: uid of the Prometheus data source that is chosen at first.
    """
    return {
        "uid": "seqprof-metrics",
        "title": "seqprof: runs over time",
        "description": "What `seqprof … -o RUN.prom` exposes, as Prometheus scraped it.",
        "panels": panels.arrange(_layout()),
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                    "current": {"text": datasource_uid, "value": datasource_uid},
                },
                _variable("run", "Run", 'label_values(seqprof_info{kind="run"}, run)'),
                _variable(
                    "several", "Compare, scale", 'label_values(seqprof_info{kind!="run"}, run)'
                ),
            ]
        },
    }


def _variable(name: str, label: str, query: str) -> Json:
    """Several values may be chosen; read anew whenever the time range changes."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _series(metric: str, legend: str, which: str = _RUNS) -> Json:
    return target(f"{metric}{{{which}}}", legend)


def _layout() -> Sequence[tuple[int, Sequence[Json]]]:
    return (
        (7, [_what()]),
        (5, _headline()),
        (9, _steps()),
        (9, _phases()),
        (9, _busy()),
        (9, _timesteps()),
        (9, _resources()),
        (10, _several()),
    )


def _what() -> Json:
    return panels.table(
        "What was measured where",
        [target(f"seqprof_info{{{_RUNS}}}", "", instant=True, table=True)],
        panels.NUMBER,
        "One row a run: the last scrape.",
        [
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(
                        ("Time", "Value", "__name__", "instance", "job"), True
                    ),
                    "indexByName": {
                        name: index
                        for index, name in enumerate(
                            ("run", "model", "execution", "precision", "device", "torch")
                        )
                    },
                    "renameByName": {},
                },
            }
        ],
    )


def _headline() -> Sequence[Json]:
    return (
        panels.stat(
            "Step",
            [_series("seqprof_step_time_seconds", "{{run}}")],
            panels.SECONDS,
            "Median of bare steps.",
        ),
        panels.stat(
            "Timesteps per second",
            [_series("seqprof_throughput_timesteps_per_second", "{{run}}")],
            panels.RATE,
            "Trained, padding not counted.",
        ),
        panels.stat(
            "Reasons to doubt the numbers",
            [target(f'seqprof_caveats{{{_RUNS},severity!="note"}}', "{{run}} {{severity}}")],
            panels.NUMBER,
            "Warnings and errors; `seqprof show` and the dashboard of one run say which.",
        ),
        panels.stat(
            "Measured ago",
            [target(f"time() - seqprof_created_timestamp_seconds{{{_RUNS}}}", "{{run}}")],
            panels.SECONDS,
            "A file that is scraped again and again is not measured again.",
        ),
    )


def _steps() -> Sequence[Json]:
    return (
        panels.over_time(
            "Step",
            [
                _series("seqprof_step_time_seconds", "{{run}}"),
                _series("seqprof_step_time_low_seconds", "{{run}} 95% low"),
                _series("seqprof_step_time_high_seconds", "{{run}} 95% high"),
            ],
            panels.SECONDS,
            "Median of bare steps and its 95 % interval.",
        ),
        panels.over_time(
            "Perturbation",
            [_series("seqprof_perturbation_ratio", "{{run}}")],
            panels.SHARE,
            "How much the marks at timesteps change a step.",
        ),
    )


def _phases() -> Sequence[Json]:
    return (
        panels.over_time(
            "Phases",
            [_series("seqprof_phase_time_seconds", _PHASE)],
            panels.SECONDS,
            "Medians of bare steps, stacked.",
            stacked=True,
        ),
        panels.over_time(
            "Idle",
            [_series("seqprof_idle_time_seconds", _PHASE)],
            panels.SECONDS,
            "Of the accelerator, or of processor cores where there is none.",
        ),
        panels.over_time(
            "Idle by cause",
            [
                target(
                    f'seqprof_idle_time_by_cause_seconds{{{_RUNS},phase="step"}}',
                    "{{run}} {{cause}}",
                )
            ],
            panels.SECONDS,
            "In the profiled steps; the causes add up to the idle time.",
            stacked=True,
        ),
    )


def _busy() -> Sequence[Json]:
    return (
        panels.over_time(
            "Busy: different things",
            [
                _series("seqprof_kernel_busy_ratio", f"{_PHASE} kernel time"),
                _series("seqprof_nvml_utilization_ratio", f"{_PHASE} NVML utilization"),
                _series("seqprof_sm_active_ratio", f"{_PHASE} active SMs"),
                _series("seqprof_model_flops_utilization_ratio", f"{_PHASE} model FLOPs"),
            ],
            panels.SHARE,
            "NVML: any kernel ran in its window. Active SMs: multiprocessors with work. No line: "
            "not measured.",
        ),
        panels.over_time(
            "Processor busy",
            [_series("seqprof_core_busy_ratio", _PHASE)],
            panels.SHARE,
            "Process CPU time over wall time x threads.",
        ),
    )


def _timesteps() -> Sequence[Json]:
    return (
        panels.over_time(
            "A typical timestep",
            [_series("seqprof_timestep_latency_seconds", f"{_PHASE} {{{{loop}}}} {{{{clock}}}}")],
            panels.SECONDS,
            "Measured: median over timesteps. backward is BPTT. Each timestep is in the dashboard "
            "of one run.",
        ),
        panels.over_time(
            "One more timestep",
            [_series("seqprof_marginal_timestep_time_seconds", _PHASE)],
            panels.SECONDS,
            "Derived from a sweep of prefix lengths, not timed one by one.",
        ),
    )


def _resources() -> Sequence[Json]:
    return (
        panels.over_time(
            "Peak memory",
            [_series("seqprof_peak_memory_bytes", _PHASE)],
            panels.BYTES,
            "Of the allocator, or of the process where there is no accelerator.",
        ),
        panels.over_time(
            "Power",
            [_series("seqprof_power_watts", _PHASE)],
            "watt",
            "Mean, each phase repeated alone.",
        ),
        panels.over_time(
            "Operations one after the other",
            [
                _series("seqprof_depth_operations", "{{run}} longest chain"),
                _series("seqprof_work_operations", "{{run}} in all"),
            ],
            panels.NUMBER,
            "Derived from shapes alone.",
        ),
    )


def _several() -> Sequence[Json]:
    return (
        panels.gauges(
            "Step of each candidate, length and batch",
            [
                _series(
                    "seqprof_step_time_seconds",
                    "{{run}} {{candidate}} T={{seq_len}} B={{batch_size}}",
                    _OTHERS,
                )
            ],
            panels.SECONDS,
            "Of `seqprof compare` and `seqprof scale`.",
        ),
        panels.gauges(
            "Against the baseline",
            [
                _series(
                    "seqprof_step_time_ratio",
                    "{{run}} {{candidate}} / {{against}} T={{seq_len}}",
                    _OTHERS,
                )
            ],
            panels.SHARE,
            "Of `seqprof compare`: below 100 % is faster.",
        ),
    )
