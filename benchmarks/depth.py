"""Time and memory of recording a whole step's graph over T, against the law from short T.

    python benchmarks/depth.py --lengths 512 1024 2048 4096

Each length is recorded in a process of its own, on one core, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time


def record_one(model: str, timesteps: int) -> dict[str, float]:
    """Record one step over ``timesteps``; seconds of recording, of analysis, and peak MiB."""
    from seqprof.analysis.depth.graph import cost, critical_path
    from seqprof.measure.depth.counted import record
    from seqprof.measure.depth.subjects import family_subject
    from seqprof.spec import ModelSpec

    family, _, execution = model.partition("@")
    spec = ModelSpec.model_validate({"name": family, "execution": execution or None})
    subject = family_subject(spec, 16)
    record(subject, 4)  # torch imports parts of itself at the first operation
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    graph = record(subject, timesteps)
    recorded = time.perf_counter()
    found = cost(graph)
    critical_path(graph)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "work": found.work_ops,
        "depth": found.depth_ops,
        "record_s": recorded - start,
        "analyse_s": done - recorded,
        "added_mib": (peak - before) / 1024,
    }


def law(model: str) -> tuple[float, str, dict[int, float]]:
    """Seconds that the law takes, its text, and what it says for long T."""
    from seqprof.analysis.depth.graph import cost
    from seqprof.analysis.depth.laws import fit_law
    from seqprof.measure.depth.counted import record
    from seqprof.measure.depth.subjects import family_subject
    from seqprof.spec import ModelSpec

    family, _, execution = model.partition("@")
    spec = ModelSpec.model_validate({"name": family, "execution": execution or None})
    start = time.perf_counter()
    subject = family_subject(spec, 16)
    lengths = (4, 5, 6, 8, 12, 16, 17, 24, 32)
    found = fit_law({t: cost(record(subject, t)).depth_ops for t in lengths})
    seconds = time.perf_counter() - start
    told = {t: found.at(t) or float("nan") for t in (512, 1024, 2048, 4096, 8192)}
    return seconds, found.text or str(found.reason), told


def main() -> None:
    """Print one line per length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="lstm@cell")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(record_one(options.model, options.one)))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds, text, told = law(options.model)
    print(f"{options.model}: depth = {text}, from short T in {seconds:.2f} s")
    print(
        f"{'T':>6} {'work':>9} {'depth':>8} {'law':>8} {'record':>9} {'analyse':>9} {'memory':>9}"
    )
    for timesteps in options.lengths:
        command = [sys.executable, __file__, "--model", options.model, "--one", str(timesteps)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        print(
            f"{timesteps:>6} {found['work']:>9,} {found['depth']:>8,} "
            f"{told.get(timesteps, float('nan')):>8,.0f} {found['record_s']:>7.1f} s "
            f"{found['analyse_s']:>7.2f} s {found['added_mib']:>5.0f} MiB"
        )


if __name__ == "__main__":
    main()
