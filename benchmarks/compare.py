"""What backs the claims of `seqprof compare` and `seqprof scale`; takes minutes.

python benchmarks/compare.py same      # a model against itself, 20 times, under load
python benchmarks/compare.py more      # against one with 10 % more work, 20 times, under load
python benchmarks/compare.py overhead  # wall time over measured steps, warm-up and imports
python benchmarks/compare.py sliced    # x[:, t] against unbind, T 256 to 2048
python benchmarks/compare.py crossover --times 10  # one planted on the simulated accelerator
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: A program that works half of the time, in bursts of up to 50 ms.
LOAD = """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.0, 0.05)
    while time.perf_counter() < end:
        pass
    time.sleep(random.uniform(0.0, 0.05))
"""
SAME = ("lstm", "lstm", "--seq-len", "64", "--batch", "16", "--set", "measure.sweep=false")


@contextmanager
def load(wanted: bool) -> Iterator[None]:
    """Another process that disturbs while in the block."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", LOAD])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seqprof(*words: str, **environment: str) -> Any:
    """Run a command; returns its JSON."""
    given = environment.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "tests"), given]))
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", *words, "--json"],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": path},
        check=True,
    )
    return json.loads(done.stdout)


def verdicts(times: int, *words: str) -> Counter[str]:
    """Compare so often; prints each ratio and returns the verdicts."""
    found: Counter[str] = Counter()
    for _ in range(times):
        summary = seqprof("compare", *words)["summary"]
        against = summary["lengths"][0]["candidates"][1]["against_baseline"]
        ratio = against["ratio"]
        found[against["verdict"]] += 1
        print(f"  {ratio['value']:.3f} [{ratio['low']:.3f} {ratio['high']:.3f}]", end="")
        print(f" {against['verdict']}", flush=True)
    return found


def same(arguments: argparse.Namespace) -> None:
    """A model against itself: told apart at most once in 20 times."""
    words = (*SAME, "--rounds", str(arguments.rounds), *machine(arguments))
    with load(not arguments.quiet):
        found = verdicts(arguments.times, *words)
    print(dict(found), "told apart:", found["faster"] + found["slower"], "of", arguments.times)


def more(arguments: argparse.Namespace) -> None:
    """Against one with 10 % more work: found at least 18 times in 20."""
    both = ("compare_models:worker_10", "compare_models:worker_11")
    words = (*both, *SAME[2:], "--rounds", str(arguments.rounds), *machine(arguments))
    with load(not arguments.quiet):
        found = verdicts(arguments.times, *words)
    print(dict(found), "found:", found["slower"], "of", arguments.times)


def overhead(arguments: argparse.Namespace) -> None:
    """Wall time of the command over measured steps, warm-up and imports."""
    began = time.perf_counter()
    modules = (
        "seqprof.measure.workers.worker, torch._dynamo, scipy.stats"  # what the command imports
    )
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True, cwd=ROOT)
    imports = time.perf_counter() - began
    began = time.perf_counter()
    recording = seqprof("compare", "lstm", "attention", *machine(arguments))["recording"]
    wall = time.perf_counter() - began
    steps = sum(step["wall_s"] for t in recording["trials"] for step in t["steps"])
    sweeps = sum(point["step_s"] for t in recording["trials"] for point in t["sweep"])
    warmup = sum(sum(t["warmup_wall_s"]) for t in recording["trials"])
    known = steps + sweeps + warmup + imports
    print(f"wall {wall:.1f} s; steps {steps:.1f}, sweeps {sweeps:.1f}, warm-up {warmup:.1f}, ")
    print(f"imports {imports:.1f} (one process alone): {wall / known:.2f} times their sum")


def sliced(arguments: argparse.Namespace) -> None:
    """A loop that slices against one that unbinds."""
    words = (
        "--seq-len",
        "256:2048",
        "--batch",
        str(arguments.batch),
        "--budget",
        "60s",
        *machine(arguments),
    )
    both = ("compare_models:sliced", "compare_models:unbound")
    summary = seqprof("scale", *both, *words)["summary"]
    for line in summary["lengths"]:
        growth = line["growth"]
        local = [round(part["exponent"]["value"], 2) for part in growth["local_exponents"]]
        print(
            f"{line['label']} {line['phase']}: T^{growth['exponent']['value']:.2f}, local {local}"
        )
    for caveat in summary["caveats"]:
        print(f"{caveat['kind']}: {caveat['text']}\n  {caveat['evidence']}")


def crossover(arguments: argparse.Namespace) -> None:
    """One candidate costs 48 device operations, the other T of them: they meet at T = 48."""
    sys.path.insert(0, str(ROOT / "tests"))
    simaccel = importlib.import_module("simaccel.environment")
    words = ("--seq-len", "12:96", "--batch", "2", "--budget", "30s")
    covered = 0
    with tempfile.TemporaryDirectory() as folder:
        simaccel.write_site(Path(folder) / "site")
        device = simaccel.variables(Path(folder) / "site", Path(folder) / "busy.log")
        device |= {"SIM_MIN_KERNEL_US": "300", "OMP_NUM_THREADS": "1"}
        for _ in range(arguments.times):
            both = ("compare_models:flat", "compare_models:growing")
            made_up = ("--set", "data.kind=synthetic")
            summary = seqprof("scale", *both, *words, *made_up, **device)["summary"]
            meeting = next(m for m in summary["crossovers"] if m["quantity"] == "step")
            length = meeting["crossover"]["length"]
            inside = length["value"] is not None and length["low"] <= 48 <= length["high"]
            covered += inside
            print(f"  {length['value']} [{length['low']} {length['high']}] {length['reason']}")
    print(f"T = 48 inside: {covered} of {arguments.times}")


def machine(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The device; and the threads, of which one leaves a core to the load, where they are given."""
    threads = ("--set", f"measure.threads={arguments.threads}") if arguments.threads else ()
    return ("--set", f"measure.device={arguments.device}", *threads)


BENCHMARKS = {
    "same": same,
    "more": more,
    "overhead": overhead,
    "sliced": sliced,
    "crossover": crossover,
}


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=tuple(BENCHMARKS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch", type=int, default=16, help="of sliced")
    parser.add_argument("--device", default="auto", help="cpu, auto, cuda:1 … [auto]")
    parser.add_argument("--quiet", action="store_true", help="without load")
    arguments = parser.parse_args()
    BENCHMARKS[arguments.what](arguments)


if __name__ == "__main__":
    main()
