"""What backs the claims of `seqprof diff`: does it fail what is slower, and only that?

python benchmarks/diff.py same    # 20 pairs of runs of one program, a busy process on each core
python benchmarks/diff.py more    # 20 pairs, the second with 15 % more work

Each pair is a base and a new run, one after the other, as a CI job takes them; its verdict is the
exit code of `seqprof diff BASE NEW --fail-if-slower 5%`. It takes 5 to 15 minutes; with `--keep
DIR` the recordings stay, and a second call goes on where the first one was stopped.

`--load` says what disturbs: none, one (a process that never rests), all (one on each core), bursts
(on each core, half of the time). `--runs 3` gives `diff` three runs of each side instead of one.
The recordings say what else was running: verdicts of a machine on which other programs kept at
most 0.2 cores busy are counted by themselves too.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPEC = """\
model: {target: "parts_model:parts", kwargs: {hidden: 64, parts: 100}}
data: {seq_len: 12, batch_size: 16}
measure: {threads: 1, pairs: 60, max_s: 3}
"""
BUSY = "while True: pass"
BURSTS = """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.0, 0.05)
    while time.perf_counter() < end:
        pass
    time.sleep(random.uniform(0.0, 0.05))
"""
#: Kind of load to its programs.
LOADS = {
    "none": [],
    "one": [BUSY],
    "all": [BUSY] * (os.cpu_count() or 1),
    "bursts": [BURSTS] * (os.cpu_count() or 1),
}
#: Cores that other programs keep busy on a machine that is called quiet.
QUIET = 0.2
#: Equal parts of work in each timestep, of the base and of what it is held against.
PARTS = {"same": (100, 100), "more": (100, 115)}


@contextmanager
def load(kind: str) -> Iterator[None]:
    """Other processes that disturb while in the block."""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for code in LOADS[kind]]
    try:
        yield
    finally:
        for process in processes:
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


def record(folder: Path, what: str, pairs: int, device: str) -> None:
    """Record the pairs that the folder does not have yet."""
    spec = folder / "spec.yaml"
    spec.write_text(SPEC)
    for number in range(pairs):
        for side, parts in zip(("base", "new"), PARTS[what], strict=True):
            recording = folder / f"{side}{number:02d}.json"
            if recording.exists():
                continue
            settings = (f"model.kwargs.parts={parts}", f"measure.device={device}")
            sets = [word for setting in settings for word in ("--set", setting)]
            done = seqprof("run", spec, *sets, "-o", recording, "-q")
            if done.returncode:
                sys.exit(done.stderr)


def quiet(recordings: Sequence[Path]) -> bool:
    """Whether other programs let every one of the recordings alone."""
    from seqprof import store
    from seqprof.analysis.diff.settings_changed import other_load

    hosts = [store.load(path).trials[0].host for path in recordings]
    return all((other_load(host) or 0.0) <= QUIET for host in hosts)


def judge(folder: Path, threshold: str, runs: int) -> dict[bool, Counter[int]]:
    """Hold every ``runs`` new recordings against as many of the base.

    Returns:
        Counts of exit codes: those of a quiet machine, and the others.
    """
    sides = [sorted(folder.glob(f"{side}*.json")) for side in ("base", "new")]
    codes: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for first in range(0, min(map(len, sides)) - runs + 1, runs):
        (base, *more_base), (new, *more_new) = (side[first : first + runs] for side in sides)
        others = [w for p in more_base for w in ("--base", p)]
        others += [w for p in more_new for w in ("--new", p)]
        done = seqprof("diff", base, new, *others, "--fail-if-slower", threshold, "-q")
        alone = quiet([side[i] for side in sides for i in range(first, first + runs)])
        codes[alone][done.returncode] += 1
        gate = done.stdout.strip().rpartition("\n")[2]
        print(f"  {done.returncode}: {' '.join(done.stdout.split())}" if gate else done.stderr)
    return codes


def spread(folder: Path) -> None:
    """Print how much runs of one program differ: the standard deviation of log medians."""
    from seqprof import store
    from seqprof.analysis.run.phases import steps_of
    from seqprof.recording import PHASES

    for side in ("base", "new"):
        trials = [store.load(path).trials[0] for path in sorted(folder.glob(f"{side}*.json"))]
        for part in ("step", *PHASES):
            medians = []
            for trial in trials:
                steps = steps_of(trial, "bare" if part == "step" else "bounded")
                times = [s.wall_s if part == "step" else s.phases[part].host_s for s in steps]
                medians.append(math.log(statistics.median(times)))
            typical, deviation = math.exp(statistics.mean(medians)), statistics.stdev(medians)
            print(f"  {side} {part}: {1e3 * typical:.3f} ms, runs differ by {deviation:.1%}")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=tuple(PARTS))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--load", choices=tuple(LOADS), help="[same: all, more: none]")
    parser.add_argument("--runs", type=int, default=1, help="recordings of each side for a verdict")
    parser.add_argument("--threshold", default="5%")
    parser.add_argument("--device", default="auto", help="cpu, auto, cuda:1 … [auto]")
    parser.add_argument("--keep", type=Path, help="folder for the recordings")
    arguments = parser.parse_args()
    disturbance = arguments.load or ("all" if arguments.what == "same" else "none")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with load(disturbance):
            record(folder, arguments.what, arguments.pairs, arguments.device)
        codes = judge(folder, arguments.threshold, arguments.runs)
        spread(folder)
    every = codes[True] + codes[False]
    print(
        f"{arguments.what}, load {disturbance}, {arguments.runs} run(s) a side: "
        f"failed {every[3]} of {every.total()}; "
        f"of those on a quiet machine {codes[True][3]} of {codes[True].total()}"
    )


if __name__ == "__main__":
    main()
