"""A history survives many writers at once, a killed one, and damaged lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from example_recordings import accelerator, cpu_cell, nothing_measured, spec

from seqprof.analysis.history.lines import history_lines, spec_digest
from seqprof.analysis.history.trend import summarise_history
from seqprof.errors import SeqprofError
from seqprof.history import append, check_appendable, read

WRITER = """
import sys
import msgspec
from seqprof.history import HistoryLine, append
line = msgspec.json.decode(sys.argv[2], type=HistoryLine)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[4])):
    append([msgspec.structs.replace(line, label=f"{sys.argv[3]}-{number}")], sys.argv[1])
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    import msgspec

    (line,) = history_lines(cpu_cell())
    encoded = msgspec.json.encode(line).decode()
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), encoded, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()


def close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()
    process.wait()


def test_eight_writers_at_once_lose_and_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    writers = [writer(path, str(number), 25) for number in range(8)]
    for process in writers:
        start(process)
    for process in writers:
        assert process.wait(120) == 0
        close(process)
    lines, damaged = read(path)
    assert damaged == ()
    assert {line.label for line in lines} == {f"{w}-{n}" for w in range(8) for n in range(25)}
    assert len(lines) == 200


def test_kill_9_of_a_writer_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for number in range(5):
        process = writer(path, f"killed{number}", 100_000)
        start(process)
        while not path.exists() or path.stat().st_size == 0:
            time.sleep(0.005)
        time.sleep(0.02 * number)
        process.send_signal(signal.SIGKILL)
        close(process)
        before = len(read(path)[0])
        append(history_lines(cpu_cell()), path)
        lines, damaged = read(path)
        assert len(lines) == before + 1
        assert len(damaged) <= number + 1


def test_a_torn_last_line_is_told_and_the_next_one_stands_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(history_lines(cpu_cell()), path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])  # what a writer that died leaves
    append(history_lines(accelerator()), path)
    lines, damaged = read(path)
    assert [line.device for line in lines] == ["AMD EPYC 7B13", "NVIDIA H100 80GB HBM3"]
    assert [line.number for line in damaged] == [2]
    assert "not JSON" in damaged[0].reason


def test_damaged_lines_are_told_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(history_lines(cpu_cell()), path)
    good = path.read_bytes()
    newer = good.replace(b'"history_version":1', b'"history_version":9')
    path.write_bytes(b"garbage\n\n" + good + b'{"a":1}\n' + b"\xff\xfe\n" + newer + b"[" * 5000)
    lines, damaged = read(path)
    assert len(lines) == 1
    assert [line.number for line in damaged] == [1, 4, 5, 6, 7]
    assert "newer seqprof" in damaged[3].reason


def test_a_full_disk_leaves_the_history_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(history_lines(cpu_cell()), path)
    before = path.read_bytes()
    code = (
        "import resource, signal, sys\n"
        "from example_recordings import cpu_cell\n"
        "from seqprof.analysis.history.lines import history_lines\n"
        "from seqprof.errors import SeqprofError\n"
        "from seqprof.history import append\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"limit = {len(before) + 100}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try:\n    append(history_lines(cpu_cell()), sys.argv[1])\n"
        "except SeqprofError as error:\n    sys.exit(error.message)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=env, capture_output=True, text=True
    )
    assert "cannot append" in done.stderr
    assert path.read_bytes() == before


def test_where_nothing_can_be_appended_is_told_before_measuring(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match="there is no folder"):
        check_appendable(tmp_path / "nowhere" / "history.jsonl")
    with pytest.raises(SeqprofError, match="it is a folder"):
        check_appendable(tmp_path)
    with pytest.raises(SeqprofError, match="needs a file"):
        check_appendable("-")


def test_a_line_holds_values_intervals_and_reasons() -> None:
    (line,) = history_lines(accelerator())
    by_key = {metric.key: metric for metric in line.metrics}
    step = by_key["step_time"]
    assert step.low is not None
    assert step.value is not None
    assert step.high is not None
    assert step.low < step.value < step.high
    assert (step.unit, step.n, step.method) == ("s", 20, "median of bare steps")
    assert by_key["nvml_utilization.forward"].value == pytest.approx(0.22)
    missing = by_key["busy_fraction.step"]
    assert missing.value is None
    assert missing.reason
    assert line.commit == "0123abcd+"


def test_a_run_that_measured_nothing_has_nulls_with_reasons() -> None:
    (line,) = history_lines(nothing_measured())
    step = next(metric for metric in line.metrics if metric.metric == "step_time")
    assert step.value is None
    assert step.reason == "no bare step was measured"


def test_a_digest_names_a_spec_whatever_the_order_of_its_keys() -> None:
    one = spec()
    other = {key: one[key] for key in reversed(one)}
    assert spec_digest(one) == spec_digest(other)
    assert spec_digest(one) != spec_digest(spec(model__hidden_size=512))


def test_only_runs_of_one_spec_on_one_machine_share_a_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for day in (2, 1):
        append(history_lines(replace(cpu_cell(), created=f"2026-11-0{day}T00:00:00+00:00")), path)
    append(history_lines(accelerator()), path)
    append(history_lines(replace(cpu_cell(), spec=spec(model__layers=2))), path)
    lines, damaged = read(path)
    found = summarise_history("h", lines, damaged, ["phase_time.backward"])
    assert [series.runs for series in found.series] == [2, 1, 1]
    (trend,) = found.series[0].trends
    assert trend.metric == "phase_time.backward"
    assert [point.created[9] for point in trend.points] == ["1", "2"]


def test_an_unknown_metric_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match="did you mean 'step_time'"):
        summarise_history("h", history_lines(cpu_cell()), (), ["step_tme"])
