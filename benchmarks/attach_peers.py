"""What `seqprof exec` and other tools add to a whole script, in turn, round after round.

::

    OMP_NUM_THREADS=1 python benchmarks/attach_peers.py SCRIPT --peers BIN [--rounds N]

``BIN`` holds the programs of the other tools; those that are not there are left out. Each runs with
its defaults and the fewest of its own windows and servers. Given is the processor time of all
processes, which a busy machine disturbs less than wall time, over that of the bare script in the
same round; the same without the tool's start-up, which is what a script that only imports torch
takes longer; and of the steps alone: what a long run takes beyond a short one, in which start-up,
the window and the report are the same.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

_EXEC = [sys.executable, "-m", "seqprof", "exec", "-q", "-o", "run.json", "--"]


Timing = tuple[float, float, int]
#: A long run, a short one, and one of a script that only imports torch.
Round = dict[str, tuple[Timing, Timing, Timing]]


def commands(peers: Path | None) -> dict[str, list[str]]:
    """What stands before ``SCRIPT ARGS`` for each tool."""
    python = sys.executable
    found = {"bare": [python], "seqprof exec": [*_EXEC, python]}
    others = {
        "pyinstrument": ["pyinstrument", "-o", "pyinstrument.txt"],
        "viztracer": ["viztracer", "--quiet", "-o", "viztracer.json", "--"],
        "trainmeter": ["tm", "-q", "--no-web", "--", python],
        "train-doctor": ["train-doctor", "profile", "--", python],
        "traceml": ["traceml", "run"],
    }
    for name, (program, *rest) in others.items():
        if peers is not None and (peers / program).exists():
            found[name] = [str(peers / program), *rest]
    return found


def run(command: list[str], folder: str) -> Timing:
    """Wall seconds, processor seconds of the process and its children, and the exit code."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[1:])}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, done.returncode


def rounds(
    script: Path, steps: tuple[int, int], tools: dict[str, list[str]], count: int
) -> Iterator[Round]:
    """Each tool once a round, over a long and a short run of the script and a script of nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "nothing.py").write_text("import torch\n")
        for _ in range(count):
            found: Round = {}
            for name, before in tools.items():
                long, short = (
                    run([*before, str(script), "--steps", str(count)], folder) for count in steps
                )
                found[name] = long, short, run([*before, "nothing.py"], folder)
            yield found


def main() -> None:
    """Print a row for each tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("script", type=Path)
    parser.add_argument("--peers", type=Path, help="folder of the other tools' programs")
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--short", type=int, default=120, help="longer than the window of `exec`")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    tools = commands(args.peers)
    lengths = (args.steps, args.short)
    seen = list(rounds(args.script.resolve(), lengths, tools, args.rounds))
    print(
        f"{'tool':14} {'wall':>7} {'CPU':>7} {'without start-up':>17} {'of the steps':>13}   exit"
    )
    for name in tools:
        pairs = [(found[name], found["bare"]) for found in seen]
        wall = median(ours[0][0] / bare[0][0] for ours, bare in pairs)
        used = median(ours[0][1] / bare[0][1] for ours, bare in pairs)
        begun = median(
            (ours[0][1] - ours[2][1]) / (bare[0][1] - bare[2][1]) for ours, bare in pairs
        )
        later = median(
            (ours[0][1] - ours[1][1]) / (bare[0][1] - bare[1][1]) for ours, bare in pairs
        )
        figures = f"{wall:7.2f} {used:7.2f} {begun:17.3f} {later:13.3f}"
        print(f"{name:14} {figures}   {pairs[-1][0][0][2]}", flush=True)


if __name__ == "__main__":
    main()
