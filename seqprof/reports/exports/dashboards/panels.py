"""Panels of a Grafana dashboard in its classic JSON model, and the grid that they stand on.

Every function returns one panel without its place; :func:`arrange` gives ids and places. The model
is published as ``@grafana/schema`` on npm. What a panel asks for is passed in as its ``targets``:
nothing here knows where data comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

#: A part of a dashboard as JSON.
Json = dict[str, Any]
#: Columns of Grafana's grid.
GRID = 24
#: Grafana's own ids of units; all values are SI.
SECONDS, BYTES, SHARE, NUMBER, RATE = "s", "bytes", "percentunit", "none", "cps"


def stat(title: str, targets: Sequence[Json], unit: str, description: str) -> Json:
    """One large number for each series: its last known value."""
    return _panel(
        "stat",
        title,
        targets,
        description,
        unit,
        options={
            "colorMode": "none",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value_and_name",
        },
    )


def over_time(
    title: str, targets: Sequence[Json], unit: str, description: str, *, stacked: bool = False
) -> Json:
    """Series over time; ``stacked`` where they are parts of a whole."""
    return _panel(
        "timeseries",
        title,
        targets,
        description,
        unit,
        custom=_lines(stacked=stacked),
        options=_LEGEND,
    )


def over_timestep(title: str, targets: Sequence[Json], unit: str, description: str, x: str) -> Json:
    """Series over the sequence; every target returns the field ``x`` and one of its own."""
    return {
        **_panel(
            "trend",
            title,
            targets,
            description,
            unit,
            custom=_lines(stacked=False),
            options={**_LEGEND, "xField": x},
        ),
        # The panel takes one frame only.
        "transformations": [
            {"id": "joinByField", "options": {"byField": x, "mode": "outer"}},
        ],
    }


def bars(title: str, targets: Sequence[Json], unit: str, description: str, x: str) -> Json:
    """One bar for each row; ``x`` is the field that names it."""
    return _panel(
        "barchart",
        title,
        targets,
        description,
        unit,
        options={
            **_LEGEND,
            "barWidth": 0.8,
            "fullHighlight": False,
            "groupWidth": 0.7,
            "orientation": "horizontal",
            "showValue": "auto",
            "stacking": "none",
            "xField": x,
            "xTickLabelRotation": 0,
        },
    )


def gauges(title: str, targets: Sequence[Json], unit: str, description: str) -> Json:
    """One bar for each series: its last known value."""
    return _panel(
        "bargauge",
        title,
        targets,
        description,
        unit,
        options={
            "displayMode": "basic",
            "legend": {**_LEGEND["legend"], "showLegend": False},
            "maxVizHeight": 300,
            "minVizHeight": 16,
            "minVizWidth": 8,
            "namePlacement": "auto",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
            "sizing": "auto",
            "valueMode": "color",
        },
    )


def table(
    title: str,
    targets: Sequence[Json],
    unit: str,
    description: str,
    transformations: Sequence[Json] = (),
) -> Json:
    """Rows as they come, after the ``transformations``."""
    return {
        **_panel(
            "table",
            title,
            targets,
            description,
            unit,
            custom={
                "align": "auto",
                "cellOptions": {"type": "auto"},
                "inspect": False,
                "wrapText": True,
            },
            options={"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
        ),
        "transformations": list(transformations),
    }


def arrange(rows: Sequence[tuple[int, Sequence[Json]]]) -> list[Json]:
    """Give panels their places: each row has a height and panels of one width."""
    placed, ids, y = [], count(1), 0
    for height, panels in rows:
        width = GRID // len(panels)
        for index, panel in enumerate(panels):
            place = {"h": height, "w": width, "x": index * width, "y": y}
            placed.append({"id": next(ids), "gridPos": place, **panel})
        y += height
    return placed


_LEGEND: Json = {
    "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "none"},
}


def _lines(*, stacked: bool) -> Json:
    return {
        "drawStyle": "line",
        "fillOpacity": 40 if stacked else 0,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "pointSize": 4,
        "showPoints": "auto",
        "spanNulls": False,  # a gap is a value that is not known
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }


def _panel(
    kind: str,
    title: str,
    targets: Sequence[Json],
    description: str,
    unit: str,
    *,
    options: Json,
    custom: Json | None = None,
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": targets[0]["datasource"],
        "targets": [
            {**target, "refId": chr(ord("A") + index)} for index, target in enumerate(targets)
        ],
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": "not measured", "custom": custom or {}},
            "overrides": [],
        },
        "options": options,
    }
