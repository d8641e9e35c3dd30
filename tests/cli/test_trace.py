"""`seqprof trace` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import command_line
import jsonschema
import pytest
from command_line import Done
from traces_fixtures import (
    RECORDED,
    TRACES,
    annotation,
    kernel,
    launch,
    needs_traces,
    operator,
    write_trace,
)

from seqprof.cli.trace_files import TraceRequest, plain_request
from seqprof.recording import SCHEMA_VERSION

EVENTS = [
    annotation("ProfilerStep#3", 0, 100),
    annotation("## forward ##", 0, 20),
    annotation("## backward ##", 20, 20),
    launch(5, 1),
    launch(25, 2),
    kernel("void gemm<float, (anonymous namespace)::Tile<8>>(float*, int)", 10, 30, 1),
    kernel("b", 50, 100, 2),
]


def seqprof(*arguments: str, columns: int = 80) -> Done:
    environment = {**os.environ, "COLUMNS": str(columns)}
    return command_line.seqprof("trace", *arguments, env=environment)


def test_tables_say_what_was_found(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.json.gz", EVENTS, deviceProperties=[{"id": 0, "name": "X1"}])
    result = seqprof(str(path))
    assert (result.returncode, result.stderr) == (0, "")
    words = " ".join(result.stdout.split())
    for text in (
        "In 140 µs the device is busy 92.9% of the time",
        "because the device itself needed the gaps (dependency)",
        "Device 0: X1",
        "dependency 10.0 µs 100.0% queued already; the device needed the gap",
        "forward 30.0 µs 30.0 µs 0 s 0.0%",
        "backward 110 µs 100 µs 10.0 µs 9.1% dependency 100%",
        "gemm 1 30.0 µs 30.0 µs 23.1%",
    ):
        assert text in words, text


def test_kernels_of_cutlass_are_told_apart(tmp_path: Path) -> None:
    gemms = [f"cutlass_80_tensorop_{tile}_tn" for tile in ("64x64", "256x128")]
    kernels = [
        kernel(f"void cutlass::Kernel2<{gemm}>({gemm}::Params)", 200 + 10 * at, 5, 1)
        for at, gemm in enumerate(gemms)
    ]
    shown = seqprof(str(write_trace(tmp_path / "t.json", [*EVENTS, *kernels]))).stdout
    assert all(gemm in shown for gemm in gemms)


def test_json_is_strict_and_exact(tmp_path: Path) -> None:
    path = str(write_trace(tmp_path / "t.json", EVENTS))
    result = seqprof("--json", path, path)
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["schema_version"] == SCHEMA_VERSION
    assert len(document["traces"]) == 2
    (device,) = document["traces"][0]["devices"]
    assert (device["span_ns"], device["busy_ns"], device["idle_ns"]) == (140_000, 130_000, 10_000)
    assert device["steps"][0]["phases"][1]["phase"] == "backward"


def test_json_is_as_its_schema_says(tmp_path: Path) -> None:
    host_only = [operator("aten::mm", 0, 5), operator("aten::mm", 8, 5)]
    paths = [
        write_trace(tmp_path / f"{name}.json", events)
        for name, events in (("device", EVENTS), ("host", host_only), ("empty", []))
    ]
    document = json.loads(seqprof("--json", *map(str, paths)).stdout)
    shown = command_line.seqprof("schema", "trace")
    schema = json.loads(shown.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    del document["traces"][0]["devices"][0]["busy_ns"]
    with pytest.raises(jsonschema.ValidationError, match="busy_ns"):
        jsonschema.validate(document, schema)


def test_a_document_of_schema_1_is_shown() -> None:
    old = Path(__file__).parents[1] / "data" / "schema_1" / "trace.json"
    assert json.loads(old.read_text())["schema_version"] == 1
    shown = command_line.seqprof("show", str(old), "-f", "json")
    (trace,) = json.loads(shown.stdout)["traces"]
    (loop,) = trace["devices"][0]["recurrences"]
    assert (loop["repeats"], loop["evidence"], loop["loops"]) == (6, "pattern only", 1)


def test_help_names_only_what_trace_writes(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.json", EVENTS)
    words = " ".join(seqprof("--help").stdout.split())
    endings = re.search(r"as its ending says: ((?:\.\w+ ?)+)", words)
    assert endings is not None
    for ending in endings.group(1).split():
        written = tmp_path / f"report{ending}"
        assert seqprof(str(path), "-o", str(written)).returncode == 0
        assert written.stat().st_size > 100


@pytest.mark.parametrize(
    "words", [[], ["-q"], ["--quiet", "--partial"], ["--full"], ["--json"], ["--json", "--full"]]
)
def test_a_plain_command_line_is_read_as_typer_reads_it(tmp_path: Path, words: list[str]) -> None:
    paths = [str(write_trace(tmp_path / f"{name}.json", EVENTS)) for name in ("a", "b")]
    plain = seqprof(*words, *paths)
    by_typer = seqprof(*words, *paths, "--jobs", "1")
    created = re.compile(r'"created": "[^"]*"')
    assert plain.returncode == by_typer.returncode == 0, plain.stderr
    assert created.sub("", plain.stdout) == created.sub("", by_typer.stdout) != ""


@pytest.mark.parametrize(
    "words", [["trace"], ["trace", "-x", "f"], ["trace", "f", "--top", "3"], ["show", "f"], []]
)
def test_any_other_command_line_is_left_to_typer(words: list[str]) -> None:
    assert plain_request(words) is None
    assert plain_request(["trace", "-", "f", "-q"]) == TraceRequest(
        [Path("-"), Path("f")], quiet=True
    )


def test_a_plain_command_line_imports_no_typer_and_no_recording(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.json", EVENTS)
    code = (
        f"import sys; sys.argv = ['seqprof', 'trace', {str(path)!r}]\n"
        "from seqprof.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'typer', 'click', 'seqprof.recording', 'scipy', 'torch'} & sys.modules.keys()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_neither_torch_nor_scipy_is_imported(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.json", EVENTS)
    code = (
        "import sys; from seqprof.cli.app import command_line\n"
        f"command_line()(['trace', {str(path)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'scipy'} & sys.modules.keys()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b'{"traceEvents": [\n{"ph": "X"', "t.json:2:11: the trace is truncated: ", "--partial"),
        (b"{}", "is not a trace", "export_chrome_trace"),
        (None, "cannot read", "--trace FILE.json.gz` writes traces"),
    ],
)
def test_errors_are_one_clear_message(
    tmp_path: Path, data: bytes | None, message: str, hint: str
) -> None:
    path = tmp_path / "t.json"
    if data is not None:
        path.write_bytes(data)
    result = seqprof(str(path))
    assert result.returncode == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_partial_uses_what_is_whole_and_says_so(tmp_path: Path) -> None:
    whole = write_trace(tmp_path / "t.json", EVENTS).read_bytes()
    path = tmp_path / "cut.json"
    path.write_bytes(whole[:-40])
    result = seqprof("--partial", str(path))
    assert result.returncode == 0, result.stderr
    assert "the file ends early; 6 whole events were used" in result.stdout


def test_names_cannot_break_the_terminal_or_the_tables(tmp_path: Path) -> None:
    events = [*EVENTS, launch(26, 3), kernel("\x1b[31m[bold]é漢" + "x" * 300 + "\n", 160, 5, 3)]
    result = seqprof(str(write_trace(tmp_path / "t.json", events)))
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "[bold]" in result.stdout


def test_an_empty_trace_is_no_success(tmp_path: Path) -> None:
    result = seqprof(str(write_trace(tmp_path / "t.json", [])))
    assert (result.returncode, result.stdout) == (2, "")
    assert "its list of events is empty" in result.stderr


@needs_traces
@pytest.mark.parametrize("columns", [80, 120])
def test_recorded_traces_fit_the_width(columns: int) -> None:
    result = seqprof(*(str(TRACES / name) for name in RECORDED), columns=columns)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= columns
