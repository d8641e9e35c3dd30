"""docs/extending.md followed word for word, in a copy of the program."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from diff_recordings import base
from source_copy import ROOT, SourceCopy, copy_source, example
from stored_results import save


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> SourceCopy:
    """The program with the caveat and the command that the page adds, and two runs."""
    copy = copy_source(tmp_path_factory.mktemp("extended"))
    function, imported = example("A caveat")
    copy.write("seqprof/analysis/run/caveats/batch.py", function)
    every = "seqprof/analysis/run/caveats/every.py"
    name = imported.split()[-1]
    copy.insert(every, imported, before="from seqprof.analysis.run.caveats.caveat import")
    copy.insert(every, f"    {name},\n", before="    _high_variation,\n")
    command, entry = example("A command")
    copy.write("seqprof/cli/commands/steps.py", command)
    copy.insert("seqprof/cli/app.py", f"    {entry.strip()}\n", before='    "diff": _Command(')
    made = base()
    save(made, copy.folder / "many.json")
    trial = made.trials[0]
    one = replace(trial, workload=replace(trial.workload, batch_size=1))
    save(replace(made, trials=(one,)), copy.folder / "one.json")
    return copy


@pytest.mark.parametrize(("recording", "planted"), [("one.json", True), ("many.json", False)])
def test_the_caveat_is_there_when_planted_and_silent_when_absent(
    recording: str, planted: bool, extended: SourceCopy
) -> None:
    done = extended.run("-m", "seqprof", "show", recording, "-f", "json")
    assert done.returncode == 0, done.stderr
    kinds = {caveat["kind"] for caveat in json.loads(done.stdout)["summary"]["caveats"]}
    assert ("batch_of_one" in kinds) == planted
    printed = extended.run("-m", "seqprof", "show", recording, "--full").stdout
    assert ("The batch holds one sequence" in printed) == planted


def test_the_command_runs_and_is_in_the_help(extended: SourceCopy) -> None:
    done = extended.run("-m", "seqprof", "steps", "many.json")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^bare: [1-9]", done.stdout, re.MULTILINE)
    assert "Count the steps of a stored run." in extended.run("-m", "seqprof", "--help").stdout
    missing = extended.run("-m", "seqprof", "steps", "absent.json")
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr


def test_every_place_that_the_table_names_is_there() -> None:
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(table) >= 7
    for line in table:
        places = re.findall(r"`([\w/]+(?:/|\.py))`", line)
        assert places, line
        for place in places:
            assert any((folder / place).exists() for folder in (ROOT, ROOT / "seqprof")), place
        assert Path(places[-1]).name.startswith("test_")
