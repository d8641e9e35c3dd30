"""The documentation names what the program says."""

from __future__ import annotations

from pathlib import Path

from example_recordings import ALL

from seqprof.analysis.rows import rows
from seqprof.analysis.summary import summarise

DOCS = Path(__file__).parents[2] / "docs"


def test_every_metric_of_the_rows_is_documented() -> None:
    text = (DOCS / "recording.md").read_text(encoding="utf-8")
    recordings = [make() for make in ALL.values()]
    metrics = {row.metric for r in recordings for row in rows(summarise(r), r.trials[0])}
    assert {metric for metric in metrics if f"`{metric}`" not in text} == set()
