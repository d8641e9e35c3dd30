"""What `exec` shows while a script runs."""

import os
import pty
import re
import sys
from pathlib import Path

import pytest
import torch
from watched_loops import Cells, loader

from seqprof.attach.agent import Agent
from seqprof.attach.options import AttachOptions
from seqprof.attach.outside.progress import LoopProgress
from seqprof.cli.live import line, timestep_rows

SCRIPT = """
import time
import torch
from torch import nn
model = nn.GRU(4, 8)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
print("ready")
for _ in range(40):
    optimizer.zero_grad()
    model(torch.randn(6, 2, 4))[0].square().mean().backward()
    optimizer.step()
    time.sleep(0.05)
"""


@pytest.fixture
def progress(tmp_path: Path) -> LoopProgress:
    """Of a loop that was left in the middle of its window."""
    agent = Agent(AttachOptions(folder=str(tmp_path), budget=10))
    agent.attach()
    model = Cells()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for (x,) in loader(30):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    agent.detach()
    agent.session.on = False
    (events,) = tmp_path.glob("*.events")
    found = LoopProgress(events)
    found.read()
    return found


def test_a_line_of_a_running_loop(progress: LoopProgress) -> None:
    """The fetch that found the loader's end has begun another step."""
    pattern = (
        r"step 31 of 104 · [\d.]+ ms · [\d,]+ tokens/s · forward \d+%, backward \d+% · "
        r"cores idle -?\d+%"
    )
    assert re.fullmatch(pattern, line(progress, 104))


def test_a_row_of_timesteps(progress: LoopProgress) -> None:
    forward, backward = timestep_rows(progress)
    assert re.fullmatch(r"  forward [▁-█]{7} [\d.e+]+ µs a timestep", forward)
    assert re.fullmatch(r"  BPTT    [▁-█]{7} [\d.e+]+ µs a timestep", backward)


def test_what_is_not_written_yet(tmp_path: Path) -> None:
    events = tmp_path / "rank0.1.events"
    events.write_bytes(bytes(48))
    found = LoopProgress(events)
    found.read()
    assert line(found, 104) == "step 0 of 104"
    assert timestep_rows(found) == []


def on_a_terminal(*command: str) -> str:
    shown = b""

    def read(descriptor: int) -> bytes:
        nonlocal shown
        data = os.read(descriptor, 1 << 16)
        shown += data
        return data

    assert pty.spawn(command, read) == 0
    return shown.decode()


@pytest.mark.parametrize("quiet", [False, True])
def test_on_a_terminal_alone(tmp_path: Path, quiet: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = ["-q"] if quiet else ["--live"]
    seqprof = (sys.executable, "-m", "seqprof", "exec", *options, "--steps", "30")
    shown = on_a_terminal(*seqprof, "--", sys.executable, str(script))
    assert "ready" in shown
    assert ("seqprof: step" in shown) is not quiet
