"""The dashboard of one run: it reads the run's JSON document over a URL (Infinity data source)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqprof.reports.exports.dashboards import INFINITY, panels
from seqprof.reports.exports.dashboards.panels import Json

#: Grafana's id of the plug-in, which Grafana does not bring along.
DATASOURCE: Json = {"type": INFINITY, "uid": "${datasource}"}
#: Columns of a table of `rows`: every field that tells rows apart, and what is known of the value.
_EVERYTHING = ("metric", "phase", "loop", "clock", "value", "low", "high", "unit", "method")
#: What a field must be.
Wanted = str | int | None | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Objects of the document, those that match, and what is taken of each.

    Attributes:
        root: jq path of an array's elements, or of one object.
        where: field to the value that it must have, or to several of which it must have one; None
            is null or missing. ``${name}`` is a variable of the dashboard.
        columns: selector of a field to the name that it is given.
    """

    root: str
    where: Mapping[str, Wanted]
    columns: Mapping[str, str]

    def jq(self) -> str:
        """Return the program that selects the objects."""
        tests = [_test(field, wanted) for field, wanted in self.where.items()]
        return f"{self.root} | select({' and '.join(tests)})" if tests else self.root


def _test(field: str, wanted: Wanted) -> str:
    if isinstance(wanted, tuple):
        return f"(.{field} | IN({', '.join(map(json.dumps, wanted))}))"
    return f".{field} == {json.dumps(wanted)}"


#: Fields that are text; Infinity wants to be told.
_TEXT = frozenset({
    "metric", "phase", "loop", "clock", "unit", "method", "reason",
    "severity", "text", "evidence", "remedy",
    "model", "execution", "data", "precision", "optimizer",
})  # fmt: skip


def target(selection: Selection) -> Json:
    """Return the query of a panel, as the Infinity data source keeps it."""
    return {
        "datasource": DATASOURCE,
        "type": "json",
        "source": "url",
        "format": "table",
        "parser": "jq-backend",
        "url": "${run_url}",
        "url_options": {"method": "GET", "data": ""},
        "root_selector": selection.jq(),
        "columns": [
            {"selector": field, "text": name, "type": "string" if field in _TEXT else "number"}
            for field, name in selection.columns.items()
        ],
        "filters": [],
    }


def of_rows(columns: Mapping[str, str], **where: Wanted) -> Selection:
    """Select from the document's flat rows."""
    return Selection(root=".rows[]", where=where, columns=columns)


def _same(*fields: str) -> dict[str, str]:
    return {field: field for field in fields}


WORKLOAD = Selection(
    root=".summary.header.workload",
    where={},
    columns=_same(
        "model", "execution", "parameters", "data", "batch_size", "timesteps", "precision",
        "optimizer",
    ),
)  # fmt: skip
CAVEATS = Selection(
    root=".summary.caveats[]", where={}, columns=_same("severity", "text", "evidence", "remedy")
)
#: The module paths that the variable `loop` offers: each has one first timestep in the forward.
LOOPS = of_rows(_same("loop"), metric="timestep_latency_p50", phase="forward", timestep=0)
UTILIZATION = (
    "busy_fraction", "nvml_utilization", "sm_active", "model_flops_utilization",
    "core_busy_fraction",
)  # fmt: skip


def _value(metric: str, name: str) -> Json:
    return target(of_rows({"value": name}, metric=metric))


def _by_phase(metric: str, name: str) -> Json:
    return target(of_rows({"phase": "phase", "value": name}, metric=metric))


def _timesteps(phase: str, quantile: str, name: str) -> Json:
    return target(
        of_rows(
            {"timestep": "timestep", "value": name},
            metric=f"timestep_latency_{quantile}",
            phase=phase,
            loop="${loop}",
            clock="${clock}",
        )
    )


def _marginal(phase: str, name: str) -> Json:
    return target(of_rows({"value": name}, metric="marginal_time_per_timestep", phase=phase))


def build(run_url: str, datasource_uid: str) -> Json:
    """Return the dashboard, without what every dashboard has.

    Args:
        run_url: where Grafana's server finds the document, at first; a text box holds it.
        datasource_uid: uid of the Infinity data source that is chosen at first.
    """
    return {
        "uid": "seqprof-run",
        "title": "seqprof: one run",
        "description": "One document of `seqprof run -o RUN.json`, read over a URL.",
        "panels": panels.arrange(_layout()),
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": INFINITY,
                    "current": {"text": datasource_uid, "value": datasource_uid},
                },
                {
                    "type": "textbox",
                    "name": "run_url",
                    "label": "URL of RUN.json",
                    "query": run_url,
                    "current": {"text": run_url, "value": run_url},
                    "options": [{"selected": True, "text": run_url, "value": run_url}],
                },
                {
                    "type": "custom",
                    "name": "clock",
                    "label": "Clock",
                    "description": "device only where the run had an accelerator",
                    "query": "host,device",
                    "current": {"text": "host", "value": "host"},
                    "options": [
                        {"selected": name == "host", "text": name, "value": name}
                        for name in ("host", "device")
                    ],
                },
                _loop_variable(),
            ]
        },
    }


def _loop_variable() -> Json:
    """The loops of the run: read anew whenever the dashboard is loaded."""
    return {
        "type": "query",
        "name": "loop",
        "label": "Loop",
        "datasource": DATASOURCE,
        "query": {
            "queryType": "infinity",
            "refId": "variable",
            "infinityQuery": {**target(LOOPS), "refId": "variable"},
        },
        "refresh": 1,
        "sort": 1,
    }


def _layout() -> Sequence[tuple[int, Sequence[Json]]]:
    return (
        (
            6,
            [
                panels.table(
                    "What was trained", [target(WORKLOAD)], panels.NUMBER, "As it was built."
                )
            ],
        ),
        (
            7,
            [
                panels.table(
                    "Read this first",
                    [target(CAVEATS)],
                    panels.NUMBER,
                    "What limits the trust in this run's numbers, and what helps.",
                )
            ],
        ),
        (5, _headline()),
        (
            10,
            [
                panels.over_timestep(
                    "Latency of each timestep",
                    [
                        _timesteps("forward", "p50", "forward p50"),
                        _timesteps("forward", "p95", "forward p95"),
                        _timesteps("backward", "p50", "BPTT p50"),
                        _timesteps("backward", "p95", "BPTT p95"),
                    ],
                    panels.SECONDS,
                    "Measured by marks, one loop and clock at a time. Empty for a model whose "
                    "timesteps one call handles: see the marginal cost.",
                    "timestep",
                )
            ],
        ),
        (8, _phases()),
        (8, [_utilization(), _operations()]),
        (
            9,
            [
                panels.table(
                    "Not measured, and why",
                    [
                        target(
                            of_rows(_same("metric", "phase", "loop", "clock", "reason"), value=None)
                        )
                    ],
                    panels.NUMBER,
                    "Every value of this run that is null.",
                )
            ],
        ),
        (
            12,
            [
                panels.table(
                    "Every number of this run",
                    [target(of_rows(_same(*_EVERYTHING), timestep=None))],
                    panels.NUMBER,
                    "SI units; low and high are a 95 % interval.",
                )
            ],
        ),
    )


def _headline() -> Sequence[Json]:
    return (
        panels.stat("Step", [_value("step_time", "step")], panels.SECONDS, "Median of bare steps."),
        panels.stat(
            "Timesteps per second",
            [_value("throughput", "timesteps/s")],
            panels.RATE,
            "Trained, padding not counted.",
        ),
        panels.stat(
            "Perturbation",
            [_value("perturbation", "probed / bare - 1")],
            panels.SHARE,
            "How much the marks at timesteps change a step.",
        ),
        panels.stat(
            "Marginal cost of a timestep",
            [_marginal("forward", "forward"), _marginal("backward", "backward")],
            panels.SECONDS,
            "Derived from a sweep of prefix lengths, not timed one by one.",
        ),
    )


def _phases() -> Sequence[Json]:
    return (
        panels.bars(
            "Phases", [_by_phase("phase_time", "time")], panels.SECONDS,
            "Median of bare steps.", "phase",
        ),
        panels.bars(
            "Idle", [_by_phase("idle_time", "idle")], panels.SECONDS,
            "Of the accelerator, or of processor cores where there is none.", "phase",
        ),
        panels.bars(
            "Peak memory", [_by_phase("peak_memory", "peak memory")], panels.BYTES,
            "Of the allocator, or of the process where there is no accelerator.", "phase",
        ),
    )  # fmt: skip


def _utilization() -> Json:
    return panels.table(
        "Busy: different things, each in its column",
        [target(of_rows(_same("metric", "phase", "value"), metric=UTILIZATION))],
        panels.SHARE,
        "nvml_utilization: any kernel ran; sm_active: SMs with work; busy_fraction: kernel time; "
        "core_busy_fraction: processor time. Empty: not measured, the reason is below.",
        [
            {
                "id": "groupingToMatrix",
                "options": {
                    "columnField": "metric",
                    "rowField": "phase",
                    "valueField": "value",
                    "emptyValue": "null",
                },
            },
        ],
    )


def _operations() -> Json:
    return panels.bars(
        "Operations", [_by_phase("operations", "operations")], panels.NUMBER,
        "Tensor operations launched in one step, views excluded.", "phase",
    )  # fmt: skip
