"""Damaged files, full disks and kill -9: the old file or the new one, and never a traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_results import document_of

from seqprof import store
from seqprof.analysis.history.lines import history_lines
from seqprof.analysis.run.summary import summarise
from seqprof.errors import SeqprofError
from seqprof.recording import Recording

KEPT = Path(__file__).parent / "data"


@cache
def document(name: str) -> bytes:
    """A real recording as this seqprof writes it."""
    recording = store.load(KEPT / name)
    return document_of(recording)


REAL = st.sampled_from(["lstm_fused.json", "recordings/schema_1.json", "variable_length.json"])


def read(data: bytes) -> Recording | None:
    """Read and derive everything; None where the damage was told."""
    try:
        recording = store.loads(data, "run.json")
        summarise(recording)
    except SeqprofError as error:
        return None if error.message else pytest.fail("damage without a message")
    history_lines(recording)
    return recording


@given(REAL, st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=150)
def test_a_truncated_recording_is_told(name: str, share: float) -> None:
    whole = document(name).rstrip()
    assert read(whole[: int(share * len(whole))]) is None


@given(REAL, st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_flipped_bytes_are_told_or_leave_a_recording(
    name: str, flips: list[tuple[float, int]]
) -> None:
    # Flips inside `recording`: the rest of the document is not read back.
    data = bytearray(document(name))
    start, stop = 0, data.index(b',"summary":')
    for share, mask in flips:
        data[start + int(share * (stop - start - 1))] ^= mask
    read(bytes(data))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_changed_digits_are_told_or_leave_a_recording(data: st.DataObject) -> None:
    """The damage that is hardest to notice: it stays JSON of the right types."""
    whole = bytearray(document(data.draw(REAL)))
    stop = whole.index(b',"summary":')
    digits = [i for i in range(stop) if chr(whole[i]).isdigit()]
    for at in data.draw(st.lists(st.sampled_from(digits), min_size=1, max_size=5)):
        whole[at] = ord(data.draw(st.sampled_from("0123456789-")))
    read(bytes(whole))


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_key_or_word_that_changed_a_letter_is_told_or_harmless(data: st.DataObject) -> None:
    whole = bytearray(document(data.draw(REAL)))
    stop = whole.index(b',"summary":')
    letters = [i for i in range(stop) if chr(whole[i]).isalpha()]
    for at in data.draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3)):
        whole[at] = ord(data.draw(st.sampled_from("aehlnorstz_")))
    read(bytes(whole))


def test_deep_nesting_is_told() -> None:
    deep = b'{"schema_version":2,"recording":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(SeqprofError):
        store.loads(deep)


# Writing --------------------------------------------------------------------------------------

LIMITED = """
import resource, signal, sys
from seqprof import store
from seqprof.errors import SeqprofError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.write(b"n" * 100_000, sys.argv[1])
except SeqprofError as error:
    sys.exit(error.message)
"""


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_file_that_cannot_grow_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    done = run(LIMITED, path)
    assert "cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "seqprof-test", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system could be mounted: {error}")
    try:
        path = disk / "run.json"
        path.write_bytes(b"old")
        with pytest.raises(SeqprofError, match="No space left on device"):
            store.write(b"n" * 1_000_000, path)
        assert path.read_bytes() == b"old"
        assert list(disk.iterdir()) == [path]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import sys
from seqprof import store
print("ready", flush=True)
while True:
    for letter in b"ab":
        store.write(bytes([letter]) * 300_000, sys.argv[1])
"""


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    chance = random.Random(5)
    versions = {b"a" * 300_000, b"b" * 300_000}
    store.write(b"a" * 300_000, path)
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert path.read_bytes() in versions
    left = [other for other in tmp_path.iterdir() if other != path]
    assert all(
        other.name.startswith(".run.json.") and other.name.endswith(store.UNFINISHED)
        for other in left
    )
