"""What backs the claims of `seqprof diff`; takes minutes.

python benchmarks/diff.py same    # one base, the same model 20 times, under load: fails of 20
python benchmarks/diff.py more    # one base, 15 % more work 20 times, under load: fails of 20
python benchmarks/diff.py spread  # how much runs of one model differ, beyond the scatter of steps

`--load` says what disturbs: busy (a program that never rests), bursts (half of the time), none.
The recordings stay in `--keep DIR`, and `--from DIR` judges kept ones again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPEC = """\
model: {target: "parts_model:parts", kwargs: {hidden: 64, parts: 20}}
data: {seq_len: 32, batch_size: 16}
measure: {threads: 1, pairs: 60, max_s: 3}
"""
LOADS = {
    "busy": "while True: pass",
    "bursts": """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.0, 0.05)
    while time.perf_counter() < end:
        pass
    time.sleep(random.uniform(0.0, 0.05))
""",
}
#: Parts of work in each timestep.
SAME, MORE = 20, 23


@contextmanager
def load(kind: str) -> Iterator[None]:
    """Another process that disturbs while in the block."""
    if kind == "none":
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", LOADS[kind]])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seqprof(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    return subprocess.run(
        [sys.executable, "-m", "seqprof", *map(str, words)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def measure(folder: Path, name: str, parts: int) -> Path:
    """Record one run."""
    spec, recording = folder / "spec.yaml", folder / f"{name}.json"
    spec.write_text(SPEC)
    done = seqprof("run", spec, "--set", f"model.kwargs.parts={parts}", "-o", recording, "-q")
    if done.returncode:
        sys.exit(done.stderr)
    return recording


def record(folder: Path, what: str, times: int, disturbance: str) -> None:
    """Record a base and the runs that are held against it."""
    parts = MORE if what == "more" else SAME
    with load(disturbance):
        measure(folder, "base", SAME)
        for number in range(times):
            measure(folder, f"new{number:02d}", parts)


def judge(folder: Path, threshold: str) -> Counter[int]:
    """Hold each run against the base; prints and counts the exit codes."""
    codes: Counter[int] = Counter()
    for recording in sorted(folder.glob("new*.json")):
        done = seqprof("diff", folder / "base.json", recording, "--fail-if-slower", threshold, "-q")
        codes[done.returncode] += 1
        print(f"  {done.returncode}: {' '.join(done.stdout.split())}{done.stderr}", flush=True)
    return codes


def spread(folder: Path) -> None:
    """Print each run's median step, and the standard deviation of their logarithms."""
    import math
    import statistics

    from seqprof import store
    from seqprof.analysis.differences import series

    medians = []
    for path in sorted(folder.glob("*.json")):
        trial = store.load(path).trials[0]
        walls = series(trial, lambda step: step.wall_s)
        medians.append(math.log(statistics.median(walls)))
        print(f"  {path.stem} {1e3 * math.exp(medians[-1]):.2f} ms of {len(walls)} steps")
    print(f"standard deviation of log median step: {statistics.stdev(medians):.2%}")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=("same", "more", "spread"))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--load", choices=(*LOADS, "none"), default="busy")
    parser.add_argument("--threshold", default="5%")
    parser.add_argument("--keep", type=Path, help="folder for the recordings")
    parser.add_argument("--from", dest="kept", type=Path, help="judge kept recordings again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.kept or arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.kept is None:
            record(folder, arguments.what, arguments.times, arguments.load)
        if arguments.what == "spread":
            spread(folder)
            return
        codes = judge(folder, arguments.threshold)
    print(f"{arguments.what}, load {arguments.load}: failed {codes[3]} of {sum(codes.values())}")


if __name__ == "__main__":
    main()
