"""Peak memory of `seqprof trace` against the uncompressed size of the file.

The file is a recorded trace repeated, each copy later than the one before, with correlations and
steps of its own, until it is as large as asked. `--dense` writes the smallest events that still
count instead (59 bytes: a kernel without arguments), the worst case that a profiler never reaches.

    python benchmarks/trace_memory.py --gb 2 ../shared/traces/df_index_resolver.json.gz
    python benchmarks/trace_memory.py --gb 0.24 --dense
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Event = dict[str, Any]
_STEP = "ProfilerStep#"
_DENSE_AT_A_TIME = 10_000


def copies(document: dict[str, Any]) -> Iterator[list[Event]]:
    """Yield the events of ``document``, then again later, and so on."""
    events: list[Event] = document["traceEvents"]
    timed = [event for event in events if event.get("ph") == "X"]
    begin = min(event["ts"] for event in timed)
    length = max(event["ts"] + event.get("dur", 0) for event in timed) - begin
    correlations = 1 + max(event.get("args", {}).get("correlation", 0) for event in timed)
    steps = len({e["name"] for e in timed if e["name"].startswith(_STEP)})
    number = 0
    while True:
        yield [_moved(e, number * length, number * correlations, number * steps) for e in events]
        number += 1


def _moved(event: Event, later: float, correlations: int, steps: int) -> Event:
    moved = dict(event)
    if "ts" in event:
        moved["ts"] = event["ts"] + later
    if isinstance(event.get("args", {}).get("correlation"), int):
        moved["args"] = {
            **event["args"],
            "correlation": event["args"]["correlation"] + correlations,
        }
    if event.get("name", "").startswith(_STEP):
        moved["name"] = f"{_STEP}{int(event['name'].removeprefix(_STEP)) + steps}"
    return moved


def dense() -> Iterator[list[Event]]:
    """Yield kernels with nothing but a time, a microsecond apart."""
    number = 0
    while True:
        numbers = range(number, number + _DENSE_AT_A_TIME)
        yield [{"ph": "X", "cat": "kernel", "name": "k", "ts": 2 * n, "dur": 1} for n in numbers]
        number += _DENSE_AT_A_TIME


def write(path: Path, trace: Path | None, size: float) -> int:
    """Write copies of ``trace``, else the smallest events, up to ``size``; how many events."""
    batches = dense() if trace is None else copies(json.loads(gzip.decompress(trace.read_bytes())))
    written, separator = 0, ""
    with path.open("w") as file:
        file.write('{"traceEvents": [\n')
        for batch in batches:
            lines = (json.dumps(event, separators=(",", ":")) for event in batch)
            file.write(separator + ",\n".join(lines))
            written, separator = written + len(batch), ",\n"
            if file.tell() >= size:
                break
        file.write("\n]}")
    return written


def main() -> None:
    """Print the size of the file, the time and the peak of the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("trace", nargs="?", type=Path, help="recorded trace to repeat (.json.gz)")
    parser.add_argument("--dense", action="store_true", help="the smallest events instead")
    parser.add_argument("--gb", type=float, default=0.5, help="size, 10^9 bytes")
    options = parser.parse_args()
    if options.dense == (options.trace is not None):
        parser.error("give a trace or --dense")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.json"
        # Elsewhere: a process counts what the one that started it held at that time as its own.
        with ProcessPoolExecutor(1) as elsewhere:
            events = elsewhere.submit(write, path, options.trace, options.gb * 1e9).result()
        command = [sys.executable, "-m", "seqprof", "trace", str(path)]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        size, peak = path.stat().st_size, usage.ru_maxrss * 1024
    print(
        f"{events:,} events, {size / 1e6:,.0f} MB of JSON: {seconds:.1f} s, peak {peak / 1e6:,.0f} "
        f"MB, {peak / size:.2f} times the file"
    )
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
