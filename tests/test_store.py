"""What is written can be read, is strict, and is there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_recordings import ALL, accelerator, change_trial, cpu_cell, long
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from stored_results import document_of, save

from seqprof import store
from seqprof.errors import SeqprofError
from seqprof.recording import SCHEMA_VERSION, Recording
from seqprof.reports.exports.json import schema


def document(recording: Recording) -> bytes:
    return document_of(recording)


@pytest.mark.parametrize("name", ALL)
def test_a_recording_survives_the_file(name: str, tmp_path: Path) -> None:
    recording = ALL[name]()
    path = tmp_path / "run.json"
    save(recording, path)
    assert store.load(path) == recording


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=3e9))
def test_every_time_survives_exactly(seconds: float) -> None:
    recording = replace(cpu_cell(), timer_resolution_s=seconds)
    stored = b'{"schema_version":1,"recording":%b}' % store.dumps(recording)
    assert store.loads(stored).timer_resolution_s == seconds


@pytest.mark.parametrize("name", ALL)
def test_the_document_follows_its_schema(name: str) -> None:
    made = json.loads(document(ALL[name]()))
    Draft202012Validator.check_schema(schema("run"))
    Draft202012Validator(schema("run")).validate(made)
    head = {"schema_version", "kind", "seqprof", "created", "about"}
    assert set(made) == {*head, "recording", "summary", "rows"}
    assert made["schema_version"] == SCHEMA_VERSION


def test_the_schema_refuses_what_is_not_a_recording() -> None:
    validator = Draft202012Validator(schema("run"))
    made = json.loads(document(cpu_cell()))
    assert not validator.is_valid({**made, "more": 1})
    assert not validator.is_valid({**made, "recording": {**made["recording"], "seed": "0"}})
    assert not validator.is_valid({**made, "rows": [{"metric": "m"}]})


def test_rows_have_the_fields_that_a_dashboard_needs() -> None:
    for row in json.loads(document(accelerator()))["rows"]:
        assert {"metric", "phase", "timestep", "value", "unit", "method"} <= set(row)


@pytest.mark.parametrize("loops", [1, 3])
def test_a_long_recording_stays_small(loops: int) -> None:
    recording = long()
    trial = recording.trials[0]
    assert len(trial.steps) == 100
    assert trial.workload.timesteps == 4096
    many = tuple(
        replace(latency, loop=f"body.layers.{n}.cell")
        for n in range(loops)
        for latency in trial.latencies
    )
    made = document(change_trial(recording, latencies=many))
    assert len(made) <= 5_000_000  # with more loops, neighbouring timesteps share a row


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_refused_at_its_place(bad: float) -> None:
    trial = cpu_cell().trials[0]
    step = replace(trial.steps[3], loss=bad)
    broken = change_trial(cpu_cell(), steps=(*trial.steps[:3], step))
    with pytest.raises(SeqprofError, match=r"\$\.trials\[0\]\.steps\[3\]\.loss is not a finite"):
        store.dumps(broken)


def test_a_bad_number_in_free_data_is_found_too() -> None:
    broken = replace(cpu_cell(), spec={"data": {"kwargs": {"x": [1.0, math.nan]}}})
    with pytest.raises(SeqprofError, match=r"\$\.spec\.data\.kwargs\.x\[1\]"):
        store.dumps(broken)


# Writing --------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SeqprofError, match="No space left on device"):
        store.write(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write(b"new", tmp_path / "run.json")
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    ordinary, ours = tmp_path / "ordinary", tmp_path / "run.json"
    ordinary.touch()
    store.write(b"{}", ours)
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
    ours.chmod(0o600)
    store.write(b"[]", ours)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert ours.read_bytes() == b"[]"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_bytes(b"old")
    link.symlink_to(target)
    store.write(b"new", link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match="No such file or directory"):
        store.write(b"{}", tmp_path / "nowhere" / "run.json")


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    store.write(b'{"a":1}\n', "-")
    assert capfdbinary.readouterr().out == b'{"a":1}\n'


# Reading --------------------------------------------------------------------------------------


def failure(data: bytes) -> SeqprofError:
    with pytest.raises(SeqprofError) as caught:
        store.loads(data, "run.json")
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match=r"cannot read .*gone\.json: No such file"):
        store.load(tmp_path / "gone.json")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match="Is a directory"):
        store.load(tmp_path)


def test_not_json_names_line_and_column() -> None:
    error = failure(b'{\n  "schema_version": 1,\n  oops\n}')
    assert error.message.startswith("run.json:3:3: not JSON")


def test_a_yaml_config_instead_of_a_recording() -> None:
    assert failure(b"model:\n  name: lstm\n").message.startswith("run.json:1:1: not JSON")


def test_binary() -> None:
    assert "byte 0 is not UTF-8" in failure(b"\x80\x03}q").message


def test_empty() -> None:
    assert failure(b" \n").message == "run.json is empty"


def test_a_cut_file_is_called_cut() -> None:
    whole = document(cpu_cell())
    for end in (len(whole) - 2, len(whole) // 2, 40):
        error = failure(whole[:end])
        assert "not JSON" in error.message
        assert error.hint is not None
        assert "too early" in error.hint


@pytest.mark.parametrize("end", range(1, 60, 7))
def test_any_cut_is_an_error_for_users(end: int) -> None:
    failure(document(cpu_cell())[:end])


def test_nan_in_a_file_is_not_json() -> None:
    whole = document(cpu_cell()).replace(b'"timer_resolution_s":1e-9', b'"timer_resolution_s":NaN')
    assert b"NaN" in whole
    assert "JSON" in failure(whole).message


def _changed(change: dict[str, Any]) -> bytes:
    made = json.loads(document(cpu_cell()))
    made["recording"] = {**made["recording"], **change}
    return json.dumps(made).encode()


def test_a_wrong_type_names_its_place() -> None:
    error = failure(_changed({"seed": "zero"}))
    assert error.message == (
        "run.json is not a seqprof recording: at $.seed: Expected `int`, got `str`"
    )


def test_other_json_is_not_a_recording() -> None:
    assert "missing required field `schema_version`" in failure(b'{"traceEvents":[]}').message
    assert "missing required field `recording`" in failure(b'{"schema_version":1}').message
    assert "not a seqprof recording" in failure(b"[]").message


def test_a_recording_of_the_future() -> None:
    error = failure(b'{"schema_version":%d,"recording":{"new":1}}' % (SCHEMA_VERSION + 1))
    assert "written by a newer seqprof" in error.message
    assert error.hint == "pip install --upgrade seqprof"
