"""What `seqprof exec` and other tools add to a whole script, in turn, round after round.

::

    OMP_NUM_THREADS=1 python benchmarks/attach_peers.py SCRIPT --peers BIN [--rounds N]

``BIN`` holds the programs of the other tools; those that are not there are left out. Each runs with
its defaults and the fewest of its own windows and servers. Given is the processor time of all
processes, which a busy machine disturbs less than wall time, over that of the bare script in the
same round; the same without the tool's start-up, which is what a script that only imports torch
takes longer; and the median step behind ``exec``'s window, by the script's own clock: ``SCRIPT``
writes the seconds of its steps to the file that ``TRUTH`` names, as those of attach_truth.py do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

_EXEC = [sys.executable, "-m", "seqprof", "exec", "-q", "-o", "run.json", "--"]
_ONLY_TORCH = "nothing.py"


class Timing(NamedTuple):
    """Seconds of one run of the script, and of one that only imports torch."""

    wall: float
    used: float
    start_up: float
    step: float
    exit_code: int


def commands(peers: Path | None) -> dict[str, list[str]]:
    """What stands before ``SCRIPT ARGS`` for each tool."""
    python = sys.executable
    tools = {"bare": [python], "bare again": [python], "seqprof exec": [*_EXEC, python]}
    others = {
        "pyinstrument": ["pyinstrument", "-o", "pyinstrument.txt"],
        "viztracer": ["viztracer", "--quiet", "-o", "viztracer.json", "--"],
        "trainmeter": ["tm", "-q", "--no-web", "--", python],
        "train-doctor": ["train-doctor", "profile", "--", python],
        "traceml": ["traceml", "run"],
    }
    for name, (program, *rest) in others.items():
        if peers is not None and (peers / program).exists():
            tools[name] = [str(peers / program), *rest]
    return tools


def run(command: list[str], folder: str) -> tuple[float, float, int]:
    """Wall seconds, processor seconds of the process and its children, and the exit code."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path[1:]),
        "TRUTH": str(Path(folder, "truth.json")),
        "TRUTH_CLOCK": "cpu",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, done.returncode


def timing(before: list[str], script: Path, steps: int, behind: int, folder: str) -> Timing:
    """One run of the script below a tool."""
    truth = Path(folder, "truth.json")
    truth.unlink(missing_ok=True)
    wall, used, code = run([*before, str(script), "--steps", str(steps)], folder)
    rows = json.loads(truth.read_text())["rows"] if truth.exists() else []
    later = [sum(row.values()) for row in rows[behind:]]
    start_up = run([*before, _ONLY_TORCH], folder)[1]
    return Timing(wall, used, start_up, median(later) if later else float("nan"), code)


def rounds(
    script: Path, steps: int, behind: int, tools: dict[str, list[str]], count: int
) -> Iterator[dict[str, Timing]]:
    """Each tool once a round, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, _ONLY_TORCH).write_text("import torch\n")
        for _ in range(count):
            order = random.sample(sorted(tools), len(tools))
            yield {name: timing(tools[name], script, steps, behind, folder) for name in order}


def main() -> None:
    """Print a row for each tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("script", type=Path)
    parser.add_argument("--peers", type=Path, help="folder of the other tools' programs")
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--behind", type=int, default=130, help="steps that no window reaches")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    tools = commands(args.peers)
    seen = list(rounds(args.script.resolve(), args.steps, args.behind, tools, args.rounds))
    print(f"{'tool':14} {'wall':>7} {'CPU':>7} {'but start-up':>13} {'later step':>11}   exit")
    for name in tools:
        pairs = [(each[name], each["bare"]) for each in seen]
        wall = median(ours.wall / bare.wall for ours, bare in pairs)
        used = median(ours.used / bare.used for ours, bare in pairs)
        begun = median(
            (ours.used - ours.start_up) / (bare.used - bare.start_up) for ours, bare in pairs
        )
        later = median(ours.step / bare.step for ours, bare in pairs)
        figures = f"{wall:7.2f} {used:7.2f} {begun:13.3f} {later:11.3f}"
        print(f"{name:14} {figures}   {pairs[-1][0].exit_code}", flush=True)


if __name__ == "__main__":
    main()
