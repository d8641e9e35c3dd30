"""Time and memory of `seqprof trace` against Holistic Trace Analysis on the same files.

Whole processes, in turn, on the same machine in the same run: start the interpreter, read the file,
answer the questions that both can answer. The floor is decompressing the file and decoding its
JSON, nothing else (msgspec, the same decoder), in a process of its own.

    python -m venv /tmp/hta && /tmp/hta/bin/pip install HolisticTraceAnalysis
    python benchmarks/traces.py --hta /tmp/hta/bin/python ../shared/traces/*.json.gz
    python benchmarks/traces.py --growth

`--growth` writes traces of more and more steps of 40 kernels each, and one of 160 long steps, and
prints the time per megabyte beyond that of a trace of one step, which is the start-up.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import seqprof

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
from seqprof.traces.events import TraceEvent
class Document(msgspec.Struct):
    traceEvents: list[TraceEvent]
packed = open(sys.argv[1], "rb").read(2).hex() == "1f8b"
text = (gzip.open if packed else open)(sys.argv[1], "rb").read()
msgspec.json.decode(text, type=Document)
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


#: Steps and kernels of each: 3 to 450 MB.
_SIZES = ((1, 40), (250, 40), (500, 40), (1_000, 40), (2_000, 40), (37_500, 40), (160, 9_300))
#: Between the beginnings of two kernels, and what a step takes beside them, microseconds.
_KERNEL_US, _BESIDE_US = 60, 600
#: A file of less JSON is left out of the comparison: it is the interpreter's start that counts.
_SMALLEST = 1_000_000


def write_steps(path: Path, steps: int, kernels: int) -> None:
    """Write a trace of ``steps`` steps of as many launches and kernels each."""
    head = '{"ph": "X", "pid": 100, "tid": 100, "cat": '
    length = _KERNEL_US * kernels + _BESIDE_US
    with path.open("w") as file:
        file.write('{"schemaVersion": 1, "traceEvents": [\n')
        for step in range(steps):
            at = 1_000 + length * step
            lines = [
                f'{head}"user_annotation", "name": "ProfilerStep#{step}", "ts": {at}, '
                f'"dur": {length - 100}, "args": {{}}}}'
            ]
            for row in range(kernels):
                begun, number = at + _KERNEL_US * row, kernels * step + row + 1
                lines += [
                    f'{head}"cuda_runtime", "name": "cudaLaunchKernel", "ts": {begun + 1}, '
                    f'"dur": 2, "args": {{"correlation": {number}}}}}',
                    '{"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, '
                    f'"ts": {begun + 10}, "dur": 5, '
                    f'"args": {{"device": 0, "stream": 7, "correlation": {number}}}}}',
                ]
            file.write((",\n" if step else "") + ",\n".join(lines))
        file.write("\n]}")


def growth(repeats: int) -> None:
    """Print time, memory and the floor by size, each the median of ``repeats`` processes."""
    start = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for steps, kernels in _SIZES:
            path = Path(folder) / "steps.json"
            write_steps(path, steps, kernels)
            size = path.stat().st_size / 1e6
            commands = (
                [sys.executable, "-m", "seqprof", "trace", "-q", str(path)],
                [sys.executable, "-c", _FLOOR, str(path)],
            )
            runs = [[run(command) for command in commands] for _ in range(repeats)]
            ours, floor = (statistics.median(one[at][0] for one in runs) for at in (0, 1))
            memory = max(one[0][1] for one in runs)
            start = start or ours
            beyond = f"{1e3 * (ours - start) / size:5.1f} ms/MB" if ours > start else "(start-up)"
            print(
                f"{steps:6,} steps of {kernels:5,} kernels {size:6.1f} MB: {ours:6.2f} s "
                f"(floor {floor:5.2f} s), {memory:5.0f} MiB, {beyond}"
            )


def json_bytes(file: Path) -> int:
    """Size of the JSON in a file that may be packed in gzip.

    Piece by piece: a process counts what the one that started it held as its own.
    """
    with file.open("rb") as plain:
        packed = plain.read(2).hex() == "1f8b"
    if not packed:
        return file.stat().st_size
    with gzip.open(file) as stream:
        return sum(map(len, iter(lambda: stream.read(1 << 16), b"")))


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
    """Compare with Holistic Trace Analysis, or measure growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--hta", help="python of the environment that has it")
    parser.add_argument("--growth", action="store_true", help="time by size instead")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    compile_package()
    if options.growth:
        growth(options.repeats)
        return
    files = [file for file in options.files if json_bytes(file) > _SMALLEST]
    if options.hta is None or not files:
        parser.error("give --hta and files of more than 1 MB of JSON, or --growth")
    against_hta(files, options.hta, options.repeats)


def compile_package() -> None:
    """Write seqprof's bytecode, as pip does for what it installs, HTA among it.

    A checkout in an environment with PYTHONDONTWRITEBYTECODE is compiled anew in every process.
    """
    compileall.compile_dir(Path(seqprof.__file__).parent, quiet=1)


def against_hta(files: Sequence[Path], hta: str, repeats: int) -> None:
    """Print one line per file and the medians of the ratios."""
    titles = f"{'seqprof':>16} {'HTA':>16} {'floor':>16} {'faster':>7} {'memory':>7} {'x floor':>7}"
    print(f"{'file':32} {titles}")
    faster, smaller, over = [], [], []
    for file in files:
        result = measure(file, hta, repeats)
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
        f"median where both succeed ({len(faster)} of {len(files)}): "
        f"{statistics.median(faster):.1f}x faster, {statistics.median(smaller):.2f}x the memory, "
        f"{statistics.median(over):.1f}x the floor; ! = the process failed"
    )


if __name__ == "__main__":
    main()
