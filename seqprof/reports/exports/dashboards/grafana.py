"""What Grafana needs, as files: two dashboards, and the provisioning that makes it load them.

The dashboards are JSON files of this package, in ``shipped/``: what :mod:`.metrics` and
:mod:`.run_rows` build, written by docs/scripts/dashboards.py. A test holds them equal.

The folder of the files is Grafana's provisioning folder (``paths.provisioning``); the dashboards
stand in it too, because that is one path to hand over instead of two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seqprof.errors import SeqprofError
from seqprof.reports.exports.dashboards import INFINITY
from seqprof.suggest import did_you_mean

Json = dict[str, Any]

#: uids of the two data sources that are provisioned.
PROMETHEUS_UID, INFINITY_UID = "seqprof-prometheus", "seqprof-infinity"
#: Version of the dashboard model: that of Grafana 11.6, the oldest that Infinity supports. Later
#: ones migrate it when they load it.
MODEL_VERSION = 41
#: Where the shipped dashboard of a run looks for it.
RUN_URL = "http://localhost:8000/run.json"
#: What the shipped dashboards are called, and their files.
BOARDS = {"metrics": "seqprof-metrics.json", "run": "seqprof-run.json"}
_SHIPPED = Path(__file__).parent / "shipped"


def files(folder: Path, prometheus_url: str, run_url: str) -> dict[str, bytes]:
    """Return the files of the folder: relative path to content.

    Args:
        folder: where they will stand, as Grafana sees it.
        prometheus_url: where Grafana's server reaches Prometheus.
        run_url: where Grafana's server reaches the JSON document of a run.

    Raises:
        SeqprofError: a URL is not of http or https.
    """
    for option, url in (("--prometheus-url", prometheus_url), ("--run-url", run_url)):
        _check_url(option, url)
    return {
        "datasources/seqprof.yaml": _yaml(_datasources(prometheus_url, run_url)),
        "dashboards/seqprof.yaml": _yaml(_providers(folder / "dashboards")),
        **{f"dashboards/{file}": board(name, run_url) for name, file in BOARDS.items()},
    }


def board(name: str, run_url: str = RUN_URL) -> bytes:
    """Return a shipped dashboard as JSON.

    Args:
        name: one of ``BOARDS``.
        run_url: where Grafana's server reaches the JSON document of a run.

    Raises:
        SeqprofError: there is no such dashboard, or the URL is none.
    """
    if name not in BOARDS:
        raise SeqprofError(
            f"there is no dashboard {name!r}{did_you_mean(name, list(BOARDS))}",
            f"there are: {', '.join(BOARDS)}",
        )
    _check_url("--run-url", run_url)
    shipped = (_SHIPPED / BOARDS[name]).read_text(encoding="utf-8")
    return shipped.replace(_quoted(RUN_URL), _quoted(run_url)).encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def build() -> dict[str, bytes]:
    """Build the dashboards that are shipped: file to content."""
    from seqprof.reports.exports.dashboards import metrics, run_rows

    boards = (metrics.build(PROMETHEUS_UID), run_rows.build(RUN_URL, INFINITY_UID))
    return {f"{board['uid']}.json": _json(_complete(board)) for board in boards}


def _check_url(option: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise SeqprofError(f"{option} {url} is not a URL", "as in http://localhost:9090")


def _datasources(prometheus_url: str, run_url: str) -> Json:
    parts = urlsplit(run_url)
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "seqprof metrics",
                "uid": PROMETHEUS_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": prometheus_url,
            },
            {
                "name": "seqprof runs",
                "uid": INFINITY_UID,
                "type": INFINITY,
                "access": "proxy",
                # Else a viewer could have Grafana's server fetch any address, by the text box. A
                # URL must begin with it: without the slash, port 80 would allow port 8000.
                "jsonData": {"allowedHosts": [f"{parts.scheme}://{parts.netloc}/"]},
            },
        ],
    }


def _providers(folder: Path) -> Json:
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "seqprof",
                "folder": "seqprof",
                "type": "file",
                "allowUiUpdates": True,
                "options": {"path": str(folder)},
            }
        ],
    }


def _complete(board: Json) -> Json:
    return {
        "schemaVersion": MODEL_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "tags": ["seqprof"],
        "timezone": "browser",
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "",
        "annotations": {"list": []},
        "links": [],
        **board,
    }


def _json(document: Json) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _yaml(document: Json) -> bytes:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return b"# Written by `seqprof dashboard grafana`.\n" + text.encode()
