"""Signals that reach seqprof: to the whole group, or to it alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, time
count = 0
def received(number, frame):
    global count
    count += 1
signal.signal(signal.SIGUSR1, received)
signal.signal(signal.SIGINT, received)
print("ready", flush=True)
deadline = time.monotonic() + 20
while not count and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.8)  # a second one would come now
print("received", count, flush=True)
sys.exit(5)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "-m", "seqprof", "exec", "--", sys.executable, "script.py"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_group_comes_once(
    running: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    os.killpg(running.pid, number)
    stdout, _ = running.communicate(timeout=30)
    assert stdout == "received 1\n"
    assert running.returncode == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_seqprof_alone_is_passed_on(
    running: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    running.send_signal(number)
    stdout, _ = running.communicate(timeout=30)
    assert stdout == "received 1\n"
    assert running.returncode == 5
