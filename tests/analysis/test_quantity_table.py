"""The table of quantities: one entry each, and everything shows what the entry says."""

from __future__ import annotations

import csv
import io
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from diff_recordings import base
from example_recordings import ALL
from format_results import small
from html_results import every_kind, scaled_over_batches
from source_copy import ROOT, SourceCopy, copy_source, example
from stored_results import save

from seqprof.analysis.catalogue import every_quantity
from seqprof.analysis.compare.quantities import CANDIDATE
from seqprof.analysis.depth.quantities import COST, MODEL
from seqprof.analysis.quantities import Quantity
from seqprof.analysis.run.quantities.run import RUN
from seqprof.analysis.scale.quantities import BATCH, LENGTH, MEETING, POINT
from seqprof.analysis.timeline.quantities import ACCOUNT, DEVICE, RECURRENCE
from seqprof.reports.formats import Kind, result_of
from seqprof.reports.kinds import KINDS

QUANTITIES = every_quantity()
TABLES: tuple[Any, ...] = (
    RUN, CANDIDATE, POINT, LENGTH, BATCH, MEETING, COST, MODEL, DEVICE, ACCOUNT, RECURRENCE,
)  # fmt: skip


def test_a_key_has_one_entry() -> None:
    for quantity, _ in chain(*TABLES):
        assert QUANTITIES[quantity.key] is quantity, quantity.key


def test_a_name_in_prometheus_is_one_quantity_s() -> None:
    exposed = [q.prometheus_name() for q in QUANTITIES.values() if q.prometheus is not None]
    assert len(set(exposed)) == len(exposed)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=lambda quantity: quantity.key)
def test_an_entry_is_complete(quantity: Quantity) -> None:
    assert quantity.key.replace("_", "").isalnum()
    assert quantity.short
    assert quantity.label
    assert "\n" not in quantity.label
    assert quantity.definition.endswith(".")
    assert "\n" not in quantity.definition
    if quantity.judged is not None or quantity.history is not None:
        assert quantity in [entry for entry, _ in RUN]  # these are read from single runs


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "diff"])
def test_rows_have_the_units_of_their_entries(kind: Kind, tmp_path: Path) -> None:
    for result in (small(kind, tmp_path), every_kind(tmp_path)[kind]):
        for row in result.rows():
            assert row.unit == QUANTITIES[row.metric].dimension.unit, row.metric


def test_every_quantity_is_read_from_some_example(tmp_path: Path) -> None:
    """Else its reader would never have been tried."""
    results = [result_of(make(), name) for name, make in ALL.items()]
    kinds = [kind for kind in KINDS if kind != "diff"]
    results += [small(kind, tmp_path) for kind in kinds]
    results += [every_kind(tmp_path)[kind] for kind in kinds]
    results.append(scaled_over_batches())
    read = {row.metric for result in results for row in result.rows()}
    never = {"step_cpu_time", "depth_law_t_squared", "depth_law_t_log2_t"}
    assert set(QUANTITIES) - read - never - {"depth_law_log2_t", "depth_law_log2_t_floor"} == set()


def test_the_documentation_lists_every_quantity() -> None:
    """What is missing there can be pasted from this test's message."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    section = page[page.index("## Every quantity") : page.index("## Trust")]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert lines == [documented(quantity) for quantity in QUANTITIES.values()]


def documented(quantity: Quantity) -> str:
    name = f"`{quantity.prometheus_name()}`" if quantity.prometheus is not None else ""
    return f"| `{quantity.key}` | {quantity.dimension.unit} | {quantity.definition} | {name} |"


# A new quantity: one function and one entry ---------------------------------------------------


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> SourceCopy:
    """The program with the quantity that docs/extending.md adds, and two runs to show."""
    copy = copy_source(tmp_path_factory.mktemp("extended"))
    function, entry = example("A quantity")
    copy.write("seqprof/analysis/run/slow_steps.py", function)
    first, _, rest = entry.partition("\n\n")
    copy.insert("seqprof/analysis/run/quantities/run.py", f"{first}\n", before="@dataclass(")
    indented = "".join(f"    {line}\n" for line in f"{rest.strip()},".splitlines())
    copy.insert("seqprof/analysis/run/quantities/run.py", indented, before="    (STEP_TIME, whole(")
    save(base(), copy.folder / "run.json")
    return copy


@pytest.mark.parametrize("name", ["json", "csv", "prometheus", "table", "markdown", "html"])
def test_a_new_quantity_is_in_every_format(name: str, extended: SourceCopy) -> None:
    done = extended.run("-m", "seqprof", "show", "run.json", "-f", name)
    assert done.returncode == 0, done.stderr
    if name == "json":
        rows = json.loads(done.stdout)["rows"]
        assert [row["unit"] for row in rows if row["metric"] == "slow_step_time"] == ["s"]
    elif name == "csv":
        lines = csv.DictReader(io.StringIO(done.stdout))
        (line,) = (line for line in lines if line["metric"] == "slow_step_time")
        assert float(line["value"]) > 0
    elif name == "prometheus":
        assert "seqprof_slow_step_time_seconds{" in done.stdout
    else:
        assert "a slow step" in done.stdout


def test_a_new_quantity_is_compared_and_kept(extended: SourceCopy) -> None:
    done = extended.run("-m", "seqprof", "diff", "run.json", "run.json", "--json")
    assert done.returncode == 0, done.stderr
    (case,) = json.loads(done.stdout)["differences"]["cases"]
    (change,) = (m for m in case["metrics"] if m["metric"] == "slow_step_time")
    assert (change["ratio"]["value"], change["worse"]) == (1.0, "larger")
    made = extended.run(
        "-c",
        "from seqprof.analysis.history.lines import history_lines\n"
        "from seqprof.history import append\n"
        "from seqprof.store import load\n"
        "append(history_lines(load('run.json')), 'history.jsonl')",
    )
    assert made.returncode == 0, made.stderr
    done = extended.run("-m", "seqprof", "history", "history.jsonl", "--metric", "slow_step_time")
    assert done.returncode == 0, done.stderr
    assert "slow_step_time" in done.stdout


def test_a_new_quantity_is_logged(extended: SourceCopy) -> None:
    done = extended.run(
        "-c",
        "from seqprof.integrations.trackers.entries import entries\n"
        "from seqprof.reports.stored import read\n"
        "print(entries(read('run.json')[0]).scalars['slow_step_time_s'])",
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
