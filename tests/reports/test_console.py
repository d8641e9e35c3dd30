"""The report as people see it: golden renderings, and what holds at any width."""

from __future__ import annotations

import io
import re

import pytest
from example_recordings import (
    ALL,
    accelerator,
    bidirectional,
    change_trial,
    cpu_cell,
    cpu_fused,
    latency,
)
from syrupy.assertion import SnapshotAssertion
from terminal import shown

from seqprof.analysis.run.summary import summarise
from seqprof.recording import Recording
from seqprof.reports.documents import document_of
from seqprof.reports.formats import result_of
from seqprof.reports.renderers.console import print_document
from seqprof.reports.renderers.console.layout import writable


def piped(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8", **env: str
) -> str:
    """What `seqprof show` writes into a pipe."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    print_document(document_of(result_of(recording, "run.json")), file, full=True)
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", sorted(set(ALL) - {"long"}))
def test_golden(name: str, width: int, snapshot: SnapshotAssertion) -> None:
    assert shown(ALL[name](), width) == snapshot


def test_golden_in_colour(snapshot: SnapshotAssertion) -> None:
    assert shown(accelerator(), 80, colour=True) == snapshot


def test_golden_stacked_where_tables_do_not_fit(snapshot: SnapshotAssertion) -> None:
    assert shown(cpu_cell(), 40) == snapshot


@pytest.mark.parametrize("name", ["cpu_cell", "cpu_fused", "nvml_failed", "interrupted"])
def test_golden_quiet(name: str, snapshot: SnapshotAssertion) -> None:
    assert shown(ALL[name](), 80, quiet=True) == snapshot


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_cut_off_or_too_wide(name: str, width: int) -> None:
    recording = ALL[name]()
    text = shown(recording, width)
    command = summarise(recording).verdict.next_command
    assert "…" not in text
    assert command in text  # on one line, to be copied
    for line in text.split("\n"):
        assert len(line) <= width or line.strip() == command


@pytest.mark.parametrize("width", [30, 80, 120])
def test_every_width_shows_the_same_numbers(width: int) -> None:
    numbers = re.compile(r"\d+(?:\.\d+)? (?:s|ms|µs)\b")
    wide, narrow = (
        set(numbers.findall(" ".join(shown(cpu_cell(), w).split()))) for w in (200, width)
    )
    assert narrow == wide


def test_a_loop_with_a_long_name_stays_readable() -> None:
    name = ".".join(["encoder_of_the_second_stage"] * 5)
    made = change_trial(cpu_cell(), latencies=(latency("forward", 1e-4, loop=name),))
    assert name in shown(made, 80).replace("\n", "")


def test_user_text_with_markup_stays_text() -> None:
    made = change_trial(cpu_cell(), timesteps_reason="[bold]no[/bold] :smile:", latencies=())
    assert "[bold]no[/bold] :smile:" in shown(made, 80)


# Pipes and terminals --------------------------------------------------------------------------


def test_a_pipe_is_80_wide_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    text = piped(cpu_cell(), monkeypatch)
    assert "\x1b" not in text
    assert 70 < max(map(len, text.split("\n"))) <= 80
    assert all(line == line.rstrip() for line in text.split("\n"))


def test_columns_sets_the_width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    text = piped(cpu_cell(), monkeypatch, COLUMNS="120")
    assert 80 < max(map(len, text.split("\n"))) <= 120


@pytest.mark.parametrize("columns", ["", "0", "wide", "-3"])
def test_a_senseless_columns_is_80(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert piped(cpu_cell(), monkeypatch, COLUMNS=columns) == piped(cpu_cell(), monkeypatch)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", ["cpu_cell", "cpu_fused", "accelerator"])
def test_encodings_without_blocks(
    name: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = piped(ALL[name](), monkeypatch, encoding)
    assert "▁" not in text
    assert "?" not in text  # everything has a stand-in
    assert len(text.split("\n")) == len(piped(ALL[name](), monkeypatch).split("\n"))


def test_ascii_keeps_columns_and_the_sparkline(
    monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    text = piped(cpu_cell(), monkeypatch, "ascii")
    assert re.search(r"forward \(host\)  [-:=+]{30}#*@?[-:=+@#]+  0 to 1\.7 ms", text) is not None
    assert text == snapshot


def test_characters_of_the_user_that_cannot_be_written_do_not_stop_it() -> None:
    assert writable("modèle 模型 12 µs", "ascii") == "mod?le ?? 12 us"
    assert writable("modèle 12 µs", "utf-8") == "modèle 12 µs"


# Content --------------------------------------------------------------------------------------


def test_a_fused_model_says_derived_beside_each_number_and_has_no_timestep_table() -> None:
    text = shown(cpu_fused(), 80)
    lines = [line for line in text.split("\n") if "16–64" in line]
    assert len(lines) == 3
    assert all("(derived)" in line for line in lines)
    assert "p50" not in text
    assert "▁" not in text


def test_each_kind_of_utilization_names_its_source() -> None:
    text = shown(accelerator(), 120)
    for field in (
        "nvml_utilization: share of the driver's windows",
        "sm_active: share of SMs",
        "model_flops_utilization: analytic",
        "core_busy_fraction: process CPU time",
        "kernel timeline busy, busy in profiled steps: needs a kernel timeline",
        "idle: time − NVML utilization × time of one repetition",
    ):
        assert field in text


def test_on_a_processor_nothing_is_called_gpu_idle() -> None:
    text = shown(cpu_cell(), 80)
    assert "no GPU" in text
    assert "Idle accelerator time" not in text
    assert "GPU idle" not in text


def test_of_many_loops_the_slowest_are_shown_and_all_are_listed() -> None:
    text = shown(bidirectional(), 80)
    assert text.count("· measured ·") == 2
    for loop in ("0.ahead", "0.back", "1.ahead", "1.back"):
        assert f"body.layers.{loop}" in text
    assert "body.layers.1.back · measured · host clock · T = 64, from the last" in " ".join(
        text.split()
    )


def test_a_table_has_at_most_twelve_rows() -> None:
    table = shown(cpu_cell(), 80).split("· measured ·")[1].split("A row is")[0]
    rows = [line for line in table.split("\n") if re.match(r"^\d+–\d+ ", line)]
    assert len(rows) == 12
