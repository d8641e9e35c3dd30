"""CSV: RFC 4180, tidy, one value a line; loads in one line where docs/reports.md says so."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from example_recordings import ALL, bidirectional
from format_results import HOSTILE, HOSTILE_STARTS, hostile_run, small
from html_results import every_kind
from hypothesis import given
from hypothesis import strategies as st

from seqprof.reports.exports.csv import COLUMNS, CSV
from seqprof.reports.formats import Kind, Result, result_of
from seqprof.reports.kinds import KINDS


def table(*results: Result) -> list[dict[str, str]]:
    text = CSV.render(results).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_line_is_one_value_or_the_reason_for_none(kind: Kind, tmp_path: Path) -> None:
    lines = table(every_kind(tmp_path)[kind])
    assert lines
    for line in lines:
        assert line["kind"] == kind
        assert line["metric"]
        assert line["unit"]
        assert line["method"]
        assert (line["value"] == "") == (line["reason"] != ""), line
        assert all(math.isfinite(float(line[c])) for c in ("value", "low", "high") if line[c])


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_lines_are_of_the_same_thing(kind: Kind, tmp_path: Path) -> None:
    what = [c for c in COLUMNS if c not in ("value", "low", "high", "method", "verdict", "reason")]
    keys = [tuple(line[c] for c in what) for line in table(every_kind(tmp_path)[kind])]
    assert len(set(keys)) == len(keys), [key for key in keys if keys.count(key) > 1][:3]


def test_values_are_those_of_the_rows_to_the_last_digit() -> None:
    result = result_of(bidirectional(), "b.json")
    rows = result.rows()
    lines = table(result)
    assert [line["metric"] for line in lines] == [row.metric for row in rows]
    values = [float(line["value"]) if line["value"] else None for line in lines]
    assert values == [row.value for row in rows]


def test_every_timestep_has_its_own_line() -> None:
    """Unlike the JSON document's rows, which must stay below 5 MB."""
    lines = table(result_of(ALL["long"](), "long.json"))
    forward = [
        int(line["timestep"])
        for line in lines
        if (line["metric"], line["phase"], line["clock"])
        == ("timestep_latency_p50", "forward", "device")
    ]
    assert forward == list(range(4096))
    assert {line["timesteps"] for line in lines} == {"1"}


def test_lines_end_as_rfc_4180_wants(tmp_path: Path) -> None:
    document = CSV.render([small("run", tmp_path)])
    assert document.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert document.endswith(b"\r\n")
    assert document.count(b"\n") == document.count(b"\r\n")


def test_several_runs_stand_below_one_another() -> None:
    lines = table(*(result_of(ALL[name](), name) for name in ("cpu_cell", "cpu_fused")))
    assert {(line["run"], line["candidate"]) for line in lines} == {
        ("cpu_cell", "lstm@cell"),
        ("cpu_fused", "lstm@fused"),
    }


def test_hostile_names_stay_in_their_cell() -> None:
    lines = table(hostile_run())
    assert len(lines) == len(hostile_run().rows())
    assert None not in lines[0]
    assert "second line" in lines[0]["run"]
    assert lines[0]["metric"] == "step_time"


@pytest.mark.parametrize("start", [*HOSTILE_STARTS, HOSTILE])
def test_a_spreadsheet_runs_nothing(start: str) -> None:
    for line in table(hostile_run(start)):
        for column, cell in line.items():
            number = column in ("value", "low", "high")
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text())
def test_any_name_comes_back(name: str) -> None:
    """But for what no text can hold, and the quote before a formula."""
    (line, *_) = table(result_of(ALL["nothing_measured"](), name))
    known = {c for c in name if c.isprintable()}
    assert known - set(line["run"]) == set()


# What the documentation promises --------------------------------------------------------------


def test_pandas_loads_it_in_one_line(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "run.csv"
    path.write_bytes(CSV.render([small("run", tmp_path)]))
    rows = pandas.read_csv(path)
    latency = rows[rows.metric == "timestep_latency_p50"].pivot(
        index="timestep", columns="phase", values="value"
    )
    assert rows["value"].dtype == float
    assert latency.shape == (4, 2)
    assert latency["forward"].idxmax() == 2
    hostile = tmp_path / "hostile.csv"
    hostile.write_bytes(CSV.render([hostile_run()]))
    assert len(pandas.read_csv(hostile)) == len(hostile_run().rows())


def test_duckdb_loads_it_in_one_line(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "run.csv"
    path.write_bytes(CSV.render([small("run", tmp_path)]))
    found = duckdb.sql(
        f"select phase, arg_max(timestep, value) from '{path}' "
        "where metric = 'timestep_latency_p50' group by phase"
    )
    assert dict(found.fetchall())["forward"] == 2
    hostile = tmp_path / "hostile.csv"
    hostile.write_bytes(CSV.render([hostile_run()]))
    assert len(duckdb.sql(f"from '{hostile}'").fetchall()) == len(hostile_run().rows())
