"""Every file gets an answer: what it is packed in, what is wrong with it, who else wrote it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traces_fixtures import Event, kernel, launch, operator, write_trace

from seqprof.errors import SeqprofError
from seqprof.traces.kineto import read_trace

EVENTS = [event for i in range(3) for event in (launch(i, i + 1), kernel("k", i + 5, 1, i + 1))]
TEXT = json.dumps({"traceEvents": EVENTS}).encode()


def zipped(data: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("folder/trace.json",):
            archive.writestr(name, data)
    return file.getvalue()


def tarred(data: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("readme.txt", *(names or ("folder/trace.json",))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def zstandard(data: bytes) -> bytes:
    module = pytest.importorskip("zstandard", reason="zstandard is not installed")
    compressed: bytes = module.ZstdCompressor().compress(data)
    return compressed


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip twice": lambda data: gzip.compress(gzip.compress(data)),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstandard": zstandard,
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda data: gzip.compress(tarred(data)),
    "two streams of bzip2": lambda data: bz2.compress(data[:500]) + bz2.compress(data[500:]),
}


@pytest.mark.parametrize("how", PACKED)
def test_a_packed_trace_is_the_trace(tmp_path: Path, how: str) -> None:
    path = tmp_path / "anything"
    path.write_bytes(PACKED[how](TEXT))
    activities = read_trace(path).activities
    assert activities.start_ns.tolist() == [5000, 6000, 7000]
    assert activities.launch_ns.tolist() == [0, 1000, 2000]


MANY = json.dumps({"traceEvents": EVENTS * 300}).encode()


@pytest.mark.parametrize("share", [0.05, 0.67])
@pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zstandard", "zip", "tar"])
def test_a_packed_trace_that_is_cut_is_said_to_be(tmp_path: Path, how: str, share: float) -> None:
    data = PACKED[how](MANY)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SeqprofError, match=r"truncated|damaged|not whole"):
        read_trace(path)


@pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zstandard"])
def test_a_packed_trace_that_is_damaged_is_said_to_be(tmp_path: Path, how: str) -> None:
    data = bytearray(PACKED[how](MANY))
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(byte ^ 0xFF for byte in data[middle : middle + 16])
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(SeqprofError, match=r"truncated|damaged"):
        read_trace(path)


def test_frames_of_zstandard_one_after_another_are_one_trace(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"".join(zstandard(MANY[at : at + 4096]) for at in range(0, len(MANY), 4096)))
    assert len(read_trace(path).activities) == 900


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_of_several_traces_is_not_guessed_at(
    tmp_path: Path, pack: Callable[..., bytes]
) -> None:
    path = tmp_path / "ranks"
    path.write_bytes(pack(TEXT, "rank0.json", "rank1.json"))
    with pytest.raises(SeqprofError, match=r"several traces \(rank0.json, rank1.json"):
        read_trace(path)


def test_a_named_pipe_and_standard_input_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(gzip.compress(TEXT),), daemon=True).start()
    assert len(read_trace(pipe).activities) == 3
    command = [sys.executable, "-m", "seqprof", "trace", "--json", "-"]
    result = subprocess.run(command, input=TEXT, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["traces"][0]["devices"][0]["activities"] == 3


@pytest.mark.parametrize(
    "text",
    [
        ("[" + ",\n".join(map(json.dumps, EVENTS)) + ",\n").encode(),
        TEXT.replace(b"}}]}", b"}},]}"),
        TEXT.replace(b'"k"', b'"k\x01\n"', 1),
        TEXT.replace(b'"k"', b'"k\\ud800"', 1),
        TEXT.replace(b'"k"', b'"k,]"', 1).replace(b"}}]}", b"}},]}"),
    ],
    ids=["list left open", "trailing comma", "control characters", "surrogate", "comma in a name"],
)
def test_what_writers_get_wrong_loses_nothing(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(text)
    timeline = read_trace(path)
    assert len(timeline.activities) == 3
    assert b"k,]" not in text or "k,]" in timeline.names


def metadata(process: str) -> Event:
    return {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": process}}


def complete(category: str | None, pid: Any = 0, **args: Any) -> Event:
    event: Event = {"ph": "X", "name": "x", "pid": pid, "tid": 0, "ts": 1, "dur": 2, "args": args}
    return event if category is None else {**event, "cat": category}


@pytest.mark.parametrize(
    ("events", "writer"),
    [
        ([metadata("/device:GPU:0"), complete(None)], "JAX or TensorFlow"),
        ([metadata("/job:localhost/replica:0"), complete("Op")], "TensorFlow"),
        ([operator("aten::mm", 0, 5), complete(None, **{"Task Type": "AI_CORE"})], "Ascend"),
        ([complete("devtools.timeline")], "a browser"),
        ([complete("disabled-by-default-v8.gc")], "a browser"),
        ([complete(None, pid="CUDA functions")], "torch.autograd.profiler"),
        ([complete("FEE")], "VizTracer"),
    ],
)
def test_another_writer_is_named(tmp_path: Path, events: list[Event], writer: str) -> None:
    path = write_trace(tmp_path / "t.json", events)
    with pytest.raises(SeqprofError, match=f"was written by {writer}.* not read") as error:
        read_trace(path)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (TEXT.decode().encode("utf-16"), "UTF-16"),
        (b'{"Type":80,"CudaEvent":{"startNs":"0"}}\n{"Type":80}\n', "Nsight Systems"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x0a\x9c\x01\x00\x00", "binary"),
        (b'{"traceEvents": []}', "empty"),
        (b'{"ph": "X"}\n{"ph": "X"}\n', "one event on each line"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(data)
    with pytest.raises(SeqprofError, match=what) as error:
        read_trace(path)
    assert error.value.hint


def test_begins_and_ends_are_not_nothing(tmp_path: Path) -> None:
    events: list[Event] = [{**EVENTS[1], "ph": "B"}, {**EVENTS[1], "ph": "E"}]
    with pytest.raises(SeqprofError, match="begins and ends"):
        read_trace(write_trace(tmp_path / "t.json", events))


def test_a_damaged_file_does_not_hide_good_ones(tmp_path: Path) -> None:
    good = write_trace(tmp_path / "good.json", EVENTS)
    bad = tmp_path / "bad.json"
    bad.write_bytes(TEXT[:-30])
    command = [sys.executable, "-m", "seqprof", "trace", str(bad), str(good)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "good.json" in result.stdout
    assert "bad.json" in result.stderr
    assert "1 of 2 files could not be analysed" in result.stderr
