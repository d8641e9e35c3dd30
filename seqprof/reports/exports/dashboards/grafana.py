"""What Grafana needs, as files: two dashboards, and the provisioning that makes it load them.

The folder of the files is Grafana's provisioning folder (``paths.provisioning``); the dashboards
stand in it too, because that is one path to hand over instead of two.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from seqprof.errors import SeqprofError
from seqprof.reports.exports.dashboards import metrics, run_rows
from seqprof.reports.exports.dashboards.panels import Json

#: uids of the two data sources that are provisioned.
PROMETHEUS_UID, INFINITY_UID = "seqprof-prometheus", "seqprof-infinity"
#: Version of the dashboard model: that of Grafana 11.6, the oldest that Infinity supports. Later
#: ones migrate it when they load it.
MODEL_VERSION = 41


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
    dashboards = (metrics.build(PROMETHEUS_UID), run_rows.build(run_url, INFINITY_UID))
    return {
        "datasources/seqprof.yaml": _yaml(_datasources(prometheus_url, run_url)),
        "dashboards/seqprof.yaml": _yaml(_providers(folder / "dashboards")),
        **{f"dashboards/{board['uid']}.json": _json(_complete(board)) for board in dashboards},
    }


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
                "type": run_rows.PLUGIN,
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
