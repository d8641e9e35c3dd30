"""Ready dashboards for what seqprof exports: `seqprof dashboard` writes them as files."""

from __future__ import annotations

#: The data source of a run's JSON, a plug-in of Grafana.
INFINITY = "yesoreyeram-infinity-datasource"
