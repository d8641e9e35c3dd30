"""Time and memory of `seqprof trace` against Holistic Trace Analysis on the same files.

Whole processes, in turn, on the same machine in the same run: start the interpreter, read the file,
answer the questions that both can answer. The floor is decompressing the file and decoding its
JSON, nothing else (msgspec, the same decoder), in a process of its own.

    python -m venv /tmp/hta && /tmp/hta/bin/pip install HolisticTraceAnalysis
    python benchmarks/traces.py --hta /tmp/hta/bin/python ../shared/traces/*.json.gz
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

#: The same questions: busy and idle, idle by cause, kernels by total time, overlap of collectives
#: with compute, launches. It wants a folder of traces, one per rank, and the ranks found in them.
#: An analysis that fails on a trace is left out; the process fails if all do.
_HTA = """
import shutil, sys, tempfile
from hta.trace_analysis import TraceAnalysis
with tempfile.TemporaryDirectory() as folder:
    shutil.copy(sys.argv[1], folder)
    analysis = TraceAnalysis(trace_dir=folder)
    ranks = list(analysis.t.traces)
    answered = 0
    for question in (
        lambda: analysis.get_temporal_breakdown(visualize=False),
        lambda: analysis.get_idle_time_breakdown(ranks=ranks, visualize=False),
        lambda: analysis.get_gpu_kernel_breakdown(visualize=False),
        lambda: analysis.get_comm_comp_overlap(visualize=False),
        lambda: analysis.get_cuda_kernel_launch_stats(ranks=ranks, visualize=False),
    ):
        try:
            print(question())
            answered += 1
        except Exception as error:
            print(repr(error))
    print(f"{answered} of 5 questions answered")
    sys.exit(0 if answered else 1)
"""
_FLOOR = """
import gzip, sys
import msgspec
from seqprof.traces.events import Event
class Document(msgspec.Struct):
    traceEvents: list[Event]
msgspec.json.decode(gzip.open(sys.argv[1]).read(), type=Document)
"""
_OPTIONS = ("seqprof", "hta", "floor")


def run(command: Sequence[str]) -> tuple[float, float, bool]:
    """Seconds, peak MiB and success of a whole process (its children are not counted)."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return time.perf_counter() - started, usage.ru_maxrss / 1024, process.returncode == 0


def measure(file: Path, hta: str, repeats: int) -> dict[str, tuple[float, float, bool]]:
    """Medians of each option over interleaved runs; the first run of each is not counted."""
    commands = {
        "seqprof": [sys.executable, "-m", "seqprof", "trace", str(file)],
        "hta": [hta, "-c", _HTA, str(file)],
        "floor": [sys.executable, "-c", _FLOOR, str(file)],
    }
    runs: dict[str, list[tuple[float, float, bool]]] = {option: [] for option in _OPTIONS}
    for _ in range(repeats + 1):
        for option, command in commands.items():
            runs[option].append(run(command))
    return {
        option: (
            statistics.median(seconds for seconds, _, _ in done[1:]),
            statistics.median(memory for _, memory, _ in done[1:]),
            all(succeeded for _, _, succeeded in done),
        )
        for option, done in runs.items()
    }


def main() -> None:
    """Print one line per file and the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--hta", required=True, help="python of the environment that has it")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    titles = f"{'seqprof':>16} {'HTA':>16} {'floor':>16} {'faster':>7} {'memory':>7} {'x floor':>7}"
    print(f"{'file':32} {titles}")
    faster, smaller, over = [], [], []
    for file in options.files:
        result = measure(file, options.hta, options.repeats)
        cells = [
            f"{seconds:7.3f} s {memory:4.0f} M{' ' if succeeded else '!'}"
            for seconds, memory, succeeded in (result[option] for option in _OPTIONS)
        ]
        speed = result["hta"][0] / result["seqprof"][0]
        memory = result["seqprof"][1] / result["hta"][1]
        floor = result["seqprof"][0] / result["floor"][0]
        name = file.name.removesuffix(".gz").removesuffix(".json")
        print(f"{name[:32]:32} {' '.join(cells)} {speed:6.1f}x {memory:6.2f}x {floor:6.1f}x")
        if result["hta"][2]:
            faster.append(speed)
            smaller.append(memory)
            over.append(floor)
    print(
        f"median where both succeed ({len(faster)} of {len(options.files)}): "
        f"{statistics.median(faster):.1f}x faster, {statistics.median(smaller):.2f}x the memory, "
        f"{statistics.median(over):.1f}x the floor; ! = the process failed"
    )


if __name__ == "__main__":
    main()
