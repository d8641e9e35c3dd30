"""Random faults at random moments: is anything lost, does anything stay, does anything trace back?

``python benchmarks/soak.py [--faults 200] [--seed 1] [--jobs 1]`` prints each failure and a table.
A fault passes when the process ends within 120 s, leaves no process behind, prints no traceback of
its own, and leaves a whole file, or says in a sentence why there is none (a signal that came before
its handlers were there, and ended the interpreter itself, needs no sentence). ``exec`` runs the
user's script, whose own traceback is the user's and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMMANDS = ("run", "compare", "scale", "exec")
INSIDE = {
    "sys.exit": "sys.exit(7)",
    "os._exit": "os._exit(0)",
    "BaseException": "raise BaseException('odd')",
    "GeneratorExit": "raise GeneratorExit",
    "MemoryError": "raise MemoryError",
    "segfault": "ctypes.string_at(0)",
    "SIGKILL of a worker": "os.kill(os.getpid(), 9)",
}
OUTSIDE = {
    "SIGTERM": (signal.SIGTERM,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
}
OUTPUT = ("closed stdout", "full stdout", "full disk")
MODEL = """
import ctypes, os, sys, torch
from torch import nn
class Model(nn.Module):
    def __init__(self, at=0):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(256, 8), nn.LSTMCell(8, 8)
        self.head, self.at, self.calls = nn.Linear(8, 256), at, 0
    def forward(self, x):
        self.calls += 1
        if self.calls == self.at:
            FAULT
        z, out = self.embedding(x), []
        h = c = z.new_zeros(x.shape[0], 8)
        for t in range(x.shape[1]):
            h, c = self.cell(z[:, t], (h, c))
            out.append(h)
        return self.head(torch.stack(out, 1))
"""
SCRIPT = """
import torch, model
from torch import nn
m = model.Model(AT)
o = torch.optim.SGD(m.parameters(), 0.1)
for x in torch.utils.data.DataLoader(torch.randint(0, 256, (600, 9)), 2):
    o.zero_grad()
    nn.functional.cross_entropy(m(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten()).backward()
    o.step()
"""


def spec(at: int) -> str:
    return (
        f"model: {{target: 'model:Model', kwargs: {{at: {at}}}}}\n"
        "data: {kind: text, seq_len: 8, batch_size: 2}\nmeasure: {pairs: 6, warmup: 2}\n"
    )


def arguments(command: str) -> list[str]:
    return {
        "run": ["run", "bad.yaml", "-q"],
        "compare": ["compare", "good.yaml", "bad.yaml", "--rounds", "7", "-q"],
        "scale": ["scale", "bad.yaml", "--seq-len", "4:8", "--budget", "10s"],
        "exec": ["exec", "--steps", "40"],
    }[command]


def left_alive(mark: str) -> list[int]:
    """Return the processes, zombies aside, that still carry ``mark`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            carries = mark.encode() in (entry / "environ").read_bytes()
            zombie = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            continue
        if carries and not zombie:
            found.append(int(entry.name))
    return found


def try_fault(number: int, command: str, fault: str, at: int, after_s: float) -> list[str]:
    """Return what went wrong, nothing where all is well."""
    with tempfile.TemporaryDirectory() as name:
        folder, mark = Path(name), f"SOAK={os.getpid()}.{number}."
        (folder / "model.py").write_text(MODEL.replace("FAULT", INSIDE.get(fault, "pass")))
        (folder / "bad.yaml").write_text(spec(at if fault in INSIDE else 0))
        (folder / "good.yaml").write_text(spec(0))
        (folder / "train.py").write_text(SCRIPT.replace("AT", str(at if fault in INSIDE else 0)))
        out = "/dev/full" if fault == "full disk" else "out.json"
        form = ["-f", "json"] if fault == "full disk" else []
        line = [sys.executable, "-m", "seqprof", *arguments(command), "-o", out, *form]
        line += ["--", sys.executable, "train.py"] if command == "exec" else []
        with open("/dev/full", "wb") as full, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                ["sh", "-c", 'exec "$@" >&-', "sh", *line] if fault == "closed stdout" else line,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=full if fault == "full stdout" else subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
                env=os.environ | dict([mark.split("=")]) | {"OMP_NUM_THREADS": "1"},
            )
            for sent in OUTSIDE.get(fault, ()):
                time.sleep(after_s)
                after_s = 0.3
                process.send_signal(sent)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                return ["did not end in 120 s"]
        time.sleep(1)
        not_begun = -process.returncode in OUTSIDE.get(fault, ())
        return judge(folder, command, fault, mark, not_begun)


def judge(folder: Path, command: str, fault: str, mark: str, not_begun: bool) -> list[str]:
    said, wrong = (folder / "err").read_text(errors="replace"), []
    alive = left_alive(mark)
    for one in alive:
        os.kill(one, signal.SIGKILL)
    if alive:
        wrong.append(f"{len(alive)} processes left")
    theirs = command == "exec" and (fault in INSIDE or fault.startswith("SIGINT"))
    if "Traceback (most" in said and not theirs:
        wrong.append(f"traceback: {said[-300:]!r}")
    try:
        json.loads((folder / "out.json").read_text())
    except FileNotFoundError:
        if not said.strip() and not not_begun:
            wrong.append("no file, and not a word")
    except ValueError:
        wrong.append("torn file")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start none after")
    chosen = parser.parse_args()
    draw, began = random.Random(chosen.seed), time.monotonic()
    kinds = [*INSIDE, *OUTSIDE, *OUTPUT]
    plan = [
        (i, draw.choice(COMMANDS), draw.choice(kinds), draw.randint(1, 60), draw.uniform(0.1, 12))
        for i in range(chosen.faults)
    ]
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()

    def one(planned: tuple[int, str, str, int, float]) -> None:
        if time.monotonic() - began > chosen.seconds:
            return
        wrong = try_fault(*planned)
        tried[planned[1]] += 1
        if wrong:
            failed[planned[1]] += 1
            print(planned, "; ".join(wrong), flush=True)

    with ThreadPoolExecutor(chosen.jobs) as pool:
        list(pool.map(one, plan))
    print("\n| command | faults | failed |\n| --- | --- | --- |")
    for command in COMMANDS:
        print(f"| {command} | {tried[command]} | {failed[command]} |")


if __name__ == "__main__":
    main()
