"""The whole way to a dashboard: seqprof → textfile collector → Prometheus → each panel's query.

Real programs of Debian (prometheus, prometheus-node-exporter), on the loopback address.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import seqprof
from example_recordings import accelerator, cpu_fused
from format_results import small_accelerator, small_run
from html_results import every_kind

from seqprof.reports.exports.dashboards.grafana import files
from seqprof.reports.formats import load, result_of

PROGRAMS = ("prometheus", "prometheus-node-exporter")
#: Seconds that a program has to answer.
PATIENCE = 60
CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def program(*words: str | Path, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen([*map(str, words)], stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def fetch(url: str) -> bytes:
    """Fetch as soon as there is an answer."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                found: bytes = answer.read()
                return found
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collector's folder, filled by `seqprof show -o`."""
    made = tmp_path_factory.mktemp("textfiles")
    kept = tmp_path_factory.mktemp("recordings")
    several = every_kind(kept)
    recordings = {
        "gpu": small_accelerator(),
        "dwelt": accelerator(),
        "cpu": small_run(),
        "fused": cpu_fused(),
        "compare": several["compare"].recording,
        "scale": several["scale"].recording,
    }
    for name, recording in recordings.items():
        assert recording is not None
        path = kept / f"{name}.json"
        path.write_bytes(load("json").render([result_of(recording, name)]))
        done = seqprof("show", path, "-o", made / f"{name}.prom")
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def prometheus(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that scrapes a node exporter, once it has the samples."""
    for name in PROGRAMS:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    place, exporter, server = tmp_path_factory.mktemp("prometheus"), free_port(), free_port()
    (place / "prometheus.yml").write_text(CONFIG.format(port=exporter))
    with ExitStack() as running:
        running.enter_context(
            program(
                "prometheus-node-exporter",
                "--collector.disable-defaults",
                "--collector.textfile",
                f"--collector.textfile.directory={folder}",
                f"--web.listen-address=127.0.0.1:{exporter}",
                log=place / "exporter.log",
            )
        )
        exposed = fetch(f"http://127.0.0.1:{exporter}/metrics").decode()
        assert "node_textfile_scrape_error 0" in exposed
        running.enter_context(
            program(
                "prometheus",
                f"--config.file={place / 'prometheus.yml'}",
                f"--storage.tsdb.path={place / 'data'}",
                f"--web.listen-address=127.0.0.1:{server}",
                log=place / "prometheus.log",
            )
        )
        address = f"http://127.0.0.1:{server}"
        end = time.monotonic() + PATIENCE
        while not query(address, "seqprof_info") and time.monotonic() < end:
            time.sleep(0.2)
        yield address


def query(address: str, expression: str) -> list[dict[str, Any]]:
    words = urllib.parse.urlencode({"query": expression})
    found = json.loads(fetch(f"{address}/api/v1/query?{words}"))
    assert found["status"] == "success"
    result: list[dict[str, Any]] = found["data"]["result"]
    return result


@pytest.mark.slow
def test_every_number_arrives(folder: Path, prometheus: str) -> None:
    """What is written is what Prometheus has, label by label and to the last digit."""
    written = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for path in folder.glob("*.prom")
        for line in path.read_text().splitlines()
        if not line.startswith("#")
    }
    found = query(prometheus, '{__name__=~"seqprof_.+"}')
    assert len(found) == len(written)
    for series in found:
        labels = {
            name: text
            for name, text in series["metric"].items()
            if name not in ("__name__", "instance", "job")
        }
        own = [
            value
            for key, value in written.items()
            if key.partition("{")[0] == series["metric"]["__name__"]
            and dict(re.findall(r'(\w+)="([^"]*)"', key)).items() >= labels.items()
            and float(series["value"][1]) == value
        ]
        assert own, series


@pytest.mark.slow
def test_every_panel_s_query_finds_something(folder: Path, prometheus: str) -> None:
    board = json.loads(
        files(folder, "http://x", "http://x/run.json")["dashboards/seqprof-metrics.json"]
    )
    runs = [found["metric"]["run"] for found in query(prometheus, 'seqprof_info{kind="run"}')]
    assert len(runs) == 4
    for panel in board["panels"]:
        asked = [
            t["expr"].replace("$run", run).replace("$several", ".+")
            for t in panel["targets"]
            for run in runs
        ]
        assert not [expression for expression in asked if "$" in expression]
        assert any(query(prometheus, expression) for expression in asked), panel["title"]
