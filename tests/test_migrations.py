"""Recordings of every older shape are read, shown and never guessed at."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from terminal import shown

from seqprof import store
from seqprof.analysis.run.summary import summarise
from seqprof.errors import SeqprofError
from seqprof.migrations import MIGRATIONS, migrate
from seqprof.recording import SCHEMA_VERSION

KEPT = Path(__file__).parent / "data" / "recordings"
FILES = sorted(KEPT.glob("schema_*.json"))


def test_each_schema_has_a_kept_file_and_a_migration() -> None:
    older = range(1, SCHEMA_VERSION)
    assert {int(path.stem.split("_")[1]) for path in FILES} >= set(older)
    assert set(MIGRATIONS) >= set(older)


def test_a_schema_that_only_gained_fields_with_defaults_needs_no_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = {"kind": "run", "trials": []}
    monkeypatch.setattr("seqprof.recording.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert migrate(plain, SCHEMA_VERSION, SCHEMA_VERSION + 1) == plain
    now = msgspec.json.decode((KEPT.parent / "lstm.json").read_bytes())
    older = {
        "schema_version": SCHEMA_VERSION,
        "recording": msgspec.to_builtins(store.loads(msgspec.json.encode(now))),
    }
    assert store.loads(msgspec.json.encode(older)).trials


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_kept_recording_is_read_and_shown(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = store.load(path)
    summary = summarise(recording)
    assert summary.step.value == pytest.approx(plain_step_time(path))
    assert "step" in shown(recording)


def plain_step_time(path: Path) -> float:
    """The median bare step, straight from the file."""
    trial = msgspec.json.decode(path.read_bytes())["recording"]["trials"][0]
    walls = sorted(step["wall_s"] for step in trial["steps"] if step["kind"] == "bare")
    middle = len(walls) // 2
    return float(walls[middle] if len(walls) % 2 else (walls[middle - 1] + walls[middle]) / 2)


def test_what_an_older_seqprof_did_not_measure_is_null_with_the_reason() -> None:
    recording = store.load(KEPT / "schema_1_without_means.json")
    latency = recording.trials[0].latencies[0]
    assert set(latency.mean_s) == {None}
    assert None not in latency.p50_s
    loop = summarise(recording).loops[0]
    assert loop.sum_of_means.value is None
    assert loop.sum_of_means.reason == "the recording is older than means of timesteps"


def test_a_migration_changes_only_what_it_is_for() -> None:
    plain = msgspec.json.decode((KEPT / "schema_1.json").read_bytes())["recording"]
    kept = msgspec.json.encode(plain)
    added = [{**trial, "cpu_clock": "process"} for trial in plain["trials"]]
    assert migrate(plain, 1, 2) == {**plain, "trials": added}  # it has means already
    assert msgspec.json.encode(plain) == kept


@pytest.mark.parametrize(
    "broken", [b"[]", b"{}", b'{"trials":7}', b'{"trials":[{"latencies":[1]}]}']
)
def test_an_older_file_of_the_wrong_shape_is_an_error_for_users(broken: bytes) -> None:
    with pytest.raises(SeqprofError, match="not a seqprof recording"):
        store.loads(b'{"schema_version":1,"recording":%b}' % broken)


@pytest.mark.parametrize("version", [0, -1])
def test_there_is_no_schema_before_the_first(version: int) -> None:
    with pytest.raises(SeqprofError, match=f"There is no schema {version}"):
        store.loads(b'{"schema_version":%d,"recording":{}}' % version)


def test_the_library_that_watched_the_device_keeps_its_version() -> None:
    """Schema 2 had a field for NVML's alone."""
    plain = msgspec.json.decode((KEPT.parent / "schema_2" / "accelerator.json").read_bytes())
    version = plain["recording"]["environment"]["nvml"]
    assert store.load(KEPT.parent / "schema_2" / "accelerator.json").environment.monitor == (
        f"NVML {version}"
    )
