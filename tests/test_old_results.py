"""Results that schema 2 wrote are read and shown in every format: a file of each kind is kept.

They are real: of the first release's commands on two cores, and on the simulated accelerator.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from command_line import seqprof

from seqprof.reports.stored import read

KEPT = Path(__file__).parent / "data" / "schema_2"
FILES = sorted(KEPT.glob("*.json"))
KINDS = {"accelerator": "run"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_read_and_its_numbers_are_there(path: Path) -> None:
    (result,) = read(path)
    assert result.kind == KINDS.get(path.stem, path.stem)
    rows = result.rows()
    assert any(row.value is not None for row in rows)
    assert all(row.value is not None or row.reason for row in rows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["table", "markdown", "html", "json", "csv"])
def test_it_is_shown(name: str, path: Path) -> None:
    done = seqprof("show", path, "-f", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Traceback" not in done.stdout
    if name == "json":
        json.loads(done.stdout)
    elif name == "csv":
        assert len(list(csv.DictReader(io.StringIO(done.stdout)))) > 10
    else:
        assert len(done.stdout) > 200


def test_a_step_is_as_long_as_it_was() -> None:
    """The median of the walls that the file holds."""
    plain = json.loads((KEPT / "accelerator.json").read_bytes())
    (result,) = read(KEPT / "accelerator.json")
    assert result.summary.step.value == pytest.approx(plain["summary"]["step"]["value"], rel=1e-12)
    kept = {phase["phase"]: phase["time"]["value"] for phase in plain["summary"]["phases"]}
    for phase in result.summary.phases:
        assert phase.time.value == pytest.approx(kept[phase.phase], rel=1e-12), phase.phase


def test_a_history_goes_on() -> None:
    done = seqprof("history", KEPT / "history.jsonl", "--metric", "step_time")
    assert (done.returncode, done.stderr) == (0, "")
    assert "step_time" in done.stdout
