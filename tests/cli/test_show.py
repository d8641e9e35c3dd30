"""`seqprof show` and `seqprof schema recording`, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import command_line
import pytest
from command_line import Done
from example_recordings import ALL, cpu_cell, cpu_fused
from jsonschema import Draft202012Validator
from stored_results import save

from seqprof import store
from seqprof.reports.exports.json import schema

DATA = Path(__file__).parents[1] / "data"


def seqprof(*arguments: str | Path, **env: str) -> Done:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return command_line.seqprof(*arguments, env={**kept, "PYTHONIOENCODING": "utf-8", **env})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    paths = {}
    for name, make in ALL.items():
        recording = make()
        paths[name] = folder / f"{name}.json"
        save(recording, paths[name])
    return paths


def test_the_tables_come_back(runs: dict[str, Path]) -> None:
    shown = seqprof("show", runs["cpu_cell"])
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert "A step takes 137.6 ms; 91% of it is the loop" in shown.stdout
    assert "136.4–138.1 ms" in shown.stdout
    assert max(map(len, shown.stdout.split("\n"))) <= 80
    assert "\x1b" not in shown.stdout


def test_columns_widens_it(runs: dict[str, Path]) -> None:
    shown = seqprof("show", runs["cpu_cell"], COLUMNS="120")
    assert max(map(len, shown.stdout.split("\n"))) > 80


def test_an_ascii_terminal(runs: dict[str, Path]) -> None:
    shown = seqprof("show", runs["accelerator"], PYTHONIOENCODING="ascii", TERM="dumb")
    assert shown.returncode == 0
    assert shown.stdout.isascii()


def test_several_one_after_another(runs: dict[str, Path]) -> None:
    shown = seqprof("show", runs["cpu_cell"], runs["cpu_fused"])
    first, second = (
        shown.stdout.index(f"== {runs[name]} ==") for name in ("cpu_cell", "cpu_fused")
    )
    assert first < second
    assert shown.stdout.count("A step takes") == 2


def test_json_is_the_whole_document(runs: dict[str, Path]) -> None:
    shown = seqprof("show", runs["cpu_fused"], "--format", "json")
    assert shown.stdout.encode() == runs["cpu_fused"].read_bytes()
    assert store.loads(shown.stdout.encode()) == cpu_fused()


def test_standard_input(runs: dict[str, Path]) -> None:
    with runs["cpu_cell"].open("rb") as file:
        shown = subprocess.run(
            [sys.executable, "-m", "seqprof", "show", "-", "-q"],
            stdin=file,
            capture_output=True,
            check=True,
        )
    assert b"lstm (cell)" in shown.stdout


def test_quiet_is_short(runs: dict[str, Path]) -> None:
    shown = seqprof("show", "-q", runs["cpu_cell"])
    assert len(shown.stdout.strip().split("\n")) == 1
    assert "step 137.6 ms" in shown.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"model: {name: lstm}\n", "1:1: not JSON"),
        (b'{"schema_version": 99, "recording": {}}', "written by a newer seqprof"),
        (b'{"schema_version": 1, "recording": {"kind": "run"}}', "missing required field"),
    ],
)
def test_a_bad_file_is_one_message(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    shown = seqprof("show", path)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_bad_file_among_good_ones_prints_no_half(runs: dict[str, Path], tmp_path: Path) -> None:
    shown = seqprof("show", runs["cpu_cell"], tmp_path / "gone.json")
    assert (shown.returncode, shown.stdout) == (2, "")


def test_a_reader_that_goes_away_is_no_error(runs: dict[str, Path]) -> None:
    command = f"{sys.executable} -m seqprof show {runs['cpu_cell']} | head -1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in shown.stderr
    assert shown.stdout.startswith("lstm (cell)")


def test_the_schema_describes_what_is_written(runs: dict[str, Path]) -> None:
    shown = seqprof("schema", "recording")
    schema = json.loads(shown.stdout)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(runs["accelerator"].read_bytes()))


def test_real_recordings_can_be_shown() -> None:
    """Of `seqprof run` on this package's own sample configs, on a busy machine."""
    found = sorted(DATA.glob("*.json"))
    assert found
    for path in found:
        shown = seqprof("show", path)
        assert shown.returncode == 0, shown.stderr
        assert "A step takes" in shown.stdout
        again = seqprof("show", path, "-f", "json")  # in today's shape
        Draft202012Validator(schema("run")).validate(json.loads(again.stdout))


# What it loads --------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["show", "RUN"], ["show", "-f", "json", "RUN"]])
def test_no_heavy_library_is_imported(arguments: list[str], runs: dict[str, Path]) -> None:
    argv = ["seqprof", *(str(runs["cpu_fused"]) if a == "RUN" else a for a in arguments)]
    code = (
        "import sys\n"
        f"sys.argv = {argv!r}\n"
        "from seqprof.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "loaded = {'torch', 'scipy', 'numpy', 'seqprof.spec'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_recording_of_the_tests_is_what_is_shown(runs: dict[str, Path]) -> None:
    assert store.load(runs["cpu_cell"]) == cpu_cell()
