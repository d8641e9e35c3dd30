"""The dashboards against what seqprof really exports: every name, label and column exists there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from example_recordings import accelerator, cpu_cell, cpu_fused, workload
from stored_results import document_of

from seqprof.errors import SeqprofError
from seqprof.recording import Candidate, ProfiledPass, ProfiledPhase, Recording
from seqprof.reports.exports.dashboards import run_rows
from seqprof.reports.exports.dashboards.grafana import BOARDS, INFINITY_UID, build, files
from seqprof.reports.exports.dashboards.grafana import board as shipped
from seqprof.reports.formats import load, result_of
from seqprof.spec import Spec

RUN_URL = "http://localhost:8000/run.json"
FOLDER = Path("/srv/grafana")


@pytest.fixture(scope="module")
def written() -> dict[str, bytes]:
    return files(FOLDER, "http://localhost:9090", RUN_URL)


def board(written: dict[str, bytes], uid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written[f"dashboards/{uid}.json"])
    return found


def test_what_is_shipped_is_what_the_code_builds() -> None:
    """Where it fails: python docs/scripts/dashboards.py."""
    assert {file: shipped(name) for name, file in BOARDS.items()} == build()


def test_the_url_of_a_run_reaches_the_dashboard_wherever_it_stands() -> None:
    url = 'https://files.example/a"b.json'
    assert json.loads(shipped("run", url)) == run_rows.build(url, INFINITY_UID) | {
        key: value
        for key, value in json.loads(shipped("run")).items()
        if key not in run_rows.build(url, INFINITY_UID)
    }


def profiled() -> Recording:
    """An accelerator's run with a profiled pass."""
    made = accelerator()
    whole = ProfiledPhase(
        phase="step",
        window_s=0.018,
        busy_s=0.012,
        idle_s=0.006,
        activities=900,
        idle_by_cause_s={"launch": 0.005, "dependency": 0.001},
    )
    profile = ProfiledPass(on="device", steps=3, wall_s=(0.019, 0.019, 0.02), whole=whole)
    return replace(made, trials=(replace(made.trials[0], profile=profile),))


def several(kind: Literal["compare", "scale"]) -> Recording:
    """A comparison or a scaling of two candidates, of a run's trial."""
    made = cpu_fused()
    trials, candidates = [], []
    for length in (32, 64):
        for label in ("lstm", "gru"):
            built = workload(model=label, timesteps=length)
            trials.append(replace(made.trials[0], workload=built))
            whole = Spec.model_validate({"model": {"name": label}, "data": {"seq_len": length}})
            candidates.append(Candidate(label=label, spec=whole.model_dump(mode="json")))
    return replace(
        made,
        kind=kind,
        trials=tuple(trials),
        candidates=tuple(candidates),
        baseline="lstm" if kind == "compare" else None,
    )


# Prometheus ------------------------------------------------------------------------------------

SERIES = re.compile(r"^(\w+)\{(.*)\} \S+$")


#: Names of runs in the exposition; the others are of several candidates.
RUNS = ("gpu.json", "cell.json", "fused.json")


@pytest.fixture(scope="module")
def exposition() -> str:
    made = {
        **dict(zip(RUNS, (profiled(), cpu_cell(), cpu_fused()), strict=True)),
        "scale.json": several("scale"),
        "compare.json": several("compare"),
    }
    results = [result_of(recording, name) for name, recording in made.items()]
    return load("prometheus").render(results).decode()


@pytest.fixture(scope="module")
def exposed(exposition: str) -> dict[str, set[str]]:
    """Names that the exposition really has, and the labels of each."""
    found: dict[str, set[str]] = {}
    for line in exposition.splitlines():
        if match := SERIES.match(line):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2]))
    return found


def queries(written: dict[str, bytes]) -> list[tuple[str, str]]:
    """Every PromQL expression of the dashboard with the legend that it is shown under."""
    made = board(written, "seqprof-metrics")
    asked = [(t["expr"], t["legendFormat"]) for panel in made["panels"] for t in panel["targets"]]
    variables = [v["query"]["query"] for v in made["templating"]["list"] if v["type"] == "query"]
    return [*asked, *((query, "") for query in variables)]


def test_every_metric_of_a_panel_is_exposed(
    written: dict[str, bytes], exposed: dict[str, set[str]]
) -> None:
    asked = {name for query, _ in queries(written) for name in re.findall(r"seqprof_\w+", query)}
    assert len(asked) >= 15
    assert asked <= set(exposed)


def test_every_label_of_a_panel_is_exposed(
    written: dict[str, bytes], exposed: dict[str, set[str]]
) -> None:
    for query, legend in queries(written):
        (name,) = re.findall(r"seqprof_\w+", query)
        labels = re.findall(r'(\w+)(?:=|!=|=~)"', query) + re.findall(r"\{\{(\w+)\}\}", legend)
        assert set(labels) <= exposed[name], (query, legend)


def test_series_of_a_panel_can_be_told_apart(written: dict[str, bytes], exposition: str) -> None:
    """No two series that a panel draws have one name in its legend."""
    for panel in board(written, "seqprof-metrics")["panels"]:
        if panel["type"] == "table":
            continue
        legends = [
            named(target["legendFormat"], labels)
            for target in panel["targets"]
            for labels in matching(target["expr"], exposition)
        ]
        assert legends, panel["title"]
        assert sorted(set(legends)) == sorted(legends), panel["title"]


def named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)


def matching(query: str, exposition: str) -> Iterator[dict[str, str]]:
    """Yield the labels of the series that a panel asks for, with every run chosen."""
    found = re.search(r"(seqprof_\w+)\{(.*?)\}", query)
    assert found, query
    matchers = re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', found[2])
    for line in exposition.splitlines():
        series = SERIES.match(line)
        if series is None or series[1] != found[1]:
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', series[2]))
        own = labels["run"] in RUNS
        fits = [
            labels.get(label) == value
            if sign == "="
            else labels.get(label) != value
            if sign == "!="
            else own == (value == "$run")
            for label, sign, value in matchers
        ]
        if all(fits):
            yield labels


# The JSON document -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    return {
        name: json.loads(document_of(recording))
        for name, recording in (
            ("cell", cpu_cell()),
            ("fused", cpu_fused()),
            ("accelerator", profiled()),
        )
    }


def targets(written: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    made = board(written, "seqprof-run")
    yield from (target for panel in made["panels"] for target in panel["targets"])
    yield from (
        v["query"]["infinityQuery"] for v in made["templating"]["list"] if v["type"] == "query"
    )


ROOT = re.compile(r"^\.([\w.]+)(\[\])?(?: \| select\((.*)\))?$")
TEST = re.compile(r"^\.(\w+) == (.+)$|^\(\.(\w+) \| IN\((.+)\)\)$")


def select(document: Any, program: str, variables: dict[str, str]) -> list[Any]:
    """Run the few forms of jq that the dashboards use."""
    root = ROOT.match(program)
    assert root, program
    for key in root[1].split("."):
        document = document[key]
    found = document if root[2] else [document]
    for test in root[3].split(" and ") if root[3] else []:
        match = TEST.match(test)
        assert match, test
        allowed = json.loads(f"[{match[2] or match[4]}]")
        allowed = [variables.get(one, one) if isinstance(one, str) else one for one in allowed]
        found = [item for item in found if item.get(match[1] or match[3]) in allowed]
    return found


def chosen(document: dict[str, Any]) -> dict[str, str]:
    """The dashboard's variables as a reader would have set them."""
    loops = select(document, run_rows.LOOPS.jq(), {})
    return {"${loop}": loops[0]["loop"], "${clock}": loops[0]["clock"]} if loops else {}


def test_every_column_exists_in_what_is_selected(
    written: dict[str, bytes], documents: dict[str, dict[str, Any]]
) -> None:
    for target in targets(written):
        program = target["root_selector"]
        found = [
            item
            for document in documents.values()
            for item in select(document, program, chosen(document))
        ]
        assert found, program
        for column in target["columns"]:
            selector = column["selector"]
            values = [item[selector] for item in found if item.get(selector) is not None]
            assert values or f".{selector} == null" in program, (program, selector)
            kind = str if column["type"] == "string" else (int, float)
            assert all(isinstance(value, kind) for value in values), column


def test_every_metric_is_one_that_a_row_can_have(
    written: dict[str, bytes], documents: dict[str, dict[str, Any]]
) -> None:
    known = {row["metric"] for document in documents.values() for row in document["rows"]}
    for target in targets(written):
        tests = re.findall(r"metric (?:== |\| IN\()([^)]*?)(?: and|\))", target["root_selector"])
        for names in tests:
            assert set(json.loads(f"[{names}]")) <= known


def test_the_programs_are_jq(
    written: dict[str, bytes], documents: dict[str, dict[str, Any]]
) -> None:
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("jq is not installed (Debian package jq)")
    document = documents["accelerator"]
    variables = chosen(document)
    for target in targets(written):
        program = target["root_selector"]
        filled = program
        for name, value in variables.items():
            filled = filled.replace(name, value)
        done = subprocess.run(
            [jq, "-c", filled],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=True,
        )
        assert [json.loads(line) for line in done.stdout.splitlines()] == select(
            document, program, variables
        )


@pytest.mark.parametrize("name", ["cell", "accelerator"])
def test_latency_of_each_timestep_is_the_recording_s(
    name: str, written: dict[str, bytes], documents: dict[str, dict[str, Any]]
) -> None:
    document = documents[name]
    made = board(written, "seqprof-run")
    (panel,) = (p for p in made["panels"] if p["type"] == "trend")
    variables = chosen(document)
    for target, phase in zip(
        panel["targets"], ("forward", "forward", "backward", "backward"), strict=True
    ):
        found = select(document, target["root_selector"], variables)
        quantile = "p50_s" if "p50" in target["root_selector"] else "p95_s"
        (latency,) = (
            x
            for x in document["recording"]["trials"][0]["latencies"]
            if (x["loop"], x["clock"], x["phase"]) == (*variables.values(), phase)
        )
        assert [item["timestep"] for item in found] == list(range(len(latency[quantile])))
        assert [item["value"] for item in found] == latency[quantile]


# The files -------------------------------------------------------------------------------------


def test_panels_fill_the_grid_without_overlap(written: dict[str, bytes]) -> None:
    for uid in ("seqprof-metrics", "seqprof-run"):
        panels = board(written, uid)["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert all(0 <= x < 24 for x, _ in cells)
        for panel in panels:
            ids = [target["refId"] for target in panel["targets"]]
            assert ids == sorted(set(ids))


def test_the_model_is_grafana_s(written: dict[str, bytes]) -> None:
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard",
        reason="Grafana's own model is not installed: pip install grafana-foundation-sdk",
    )
    for uid in ("seqprof-metrics", "seqprof-run"):
        made = board(written, uid)
        read = models.Dashboard.from_json(made)
        kept = json.loads(json.dumps(read, default=lambda part: part.to_json()))
        assert set(made) <= set(kept)
        for panel, back in zip(made["panels"], kept["panels"], strict=True):
            assert set(panel) <= set(back)
            assert back["gridPos"] == panel["gridPos"]
            assert (
                back["fieldConfig"]["defaults"]["unit"] == panel["fieldConfig"]["defaults"]["unit"]
            )
        names = [variable["name"] for variable in made["templating"]["list"]]
        assert [variable["name"] for variable in kept["templating"]["list"]] == names


def test_provisioning_names_what_the_dashboards_ask_for(written: dict[str, bytes]) -> None:
    sources = yaml.safe_load(written["datasources/seqprof.yaml"])["datasources"]
    uids = {source["uid"]: source["type"] for source in sources}
    for uid in ("seqprof-metrics", "seqprof-run"):
        made = board(written, uid)
        (variable,) = (v for v in made["templating"]["list"] if v["type"] == "datasource")
        assert uids[variable["current"]["value"]] == variable["query"]
        assert {panel["datasource"]["type"] for panel in made["panels"]} == {variable["query"]}
        assert {panel["datasource"]["uid"] for panel in made["panels"]} == {"${datasource}"}
    (provider,) = yaml.safe_load(written["dashboards/seqprof.yaml"])["providers"]
    assert provider["options"]["path"] == str(FOLDER / "dashboards")


def test_only_the_host_of_the_run_may_be_fetched() -> None:
    written = files(FOLDER, "http://p:9090", "https://runs.example:8443/a/b.json?c=d")
    _, infinity = yaml.safe_load(written["datasources/seqprof.yaml"])["datasources"]
    assert infinity["jsonData"]["allowedHosts"] == ["https://runs.example:8443/"]


@pytest.mark.parametrize("url", ["run.json", "file:///run.json", "http://", "http://[::1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SeqprofError, match="--run-url"):
        files(FOLDER, "http://localhost:9090", url)


def test_a_hostile_url_stays_a_string() -> None:
    url = 'http://h/"},"x: {#\n- y'
    written = files(FOLDER, "http://localhost:9090", url)
    made = board(written, "seqprof-run")
    (variable,) = (v for v in made["templating"]["list"] if v["name"] == "run_url")
    assert variable["query"] == url
