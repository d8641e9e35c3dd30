"""Where the recorded traces lie, and small traces written for a test."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

#: Public traces, not part of the project: beside the repository, or where SEQPROF_TRACES says.
TRACES = Path(
    os.environ.get("SEQPROF_TRACES", Path(__file__).parents[2] / "shared" / "traces")
).resolve()

needs_traces = pytest.mark.skipif(
    not (TRACES / "goldens.json").exists(),
    reason=f"recorded traces are not at {TRACES} (set SEQPROF_TRACES)",
)
RECORDED = sorted(path.name for path in TRACES.glob("*.json.gz")) or ["no-traces"]

Event = dict[str, Any]


def write_trace(path: Path, events: list[Event], **beside: Any) -> Path:
    """Write events as a trace, gzip if the name says so."""
    text = json.dumps({"schemaVersion": 1, **beside, "traceEvents": events})
    data = text.encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def recorded(name: str) -> Any:
    """The whole JSON document of a recorded trace."""
    with gzip.open(TRACES / name) as file:
        return json.load(file)


def kernel(name: str, ts: float, dur: float, correlation: int | None, stream: int = 7) -> Event:
    """A kernel on device 0."""
    args: Event = {"device": 0, "stream": stream}
    if correlation is not None:
        args["correlation"] = correlation
    return {
        "ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": stream,
        "ts": ts, "dur": dur, "args": args,
    }  # fmt: skip


def launch(ts: float, correlation: int, dur: float = 1, name: str = "cudaLaunchKernel") -> Event:
    """A runtime call on the main thread."""
    return {
        "ph": "X", "cat": "cuda_runtime", "name": name, "pid": 1, "tid": 1,
        "ts": ts, "dur": dur, "args": {"correlation": correlation},
    }  # fmt: skip


def annotation(name: str, ts: float, dur: float, thread: int = 1) -> Event:
    """A user annotation."""
    return {
        "ph": "X", "cat": "user_annotation", "name": name, "pid": 1, "tid": thread,
        "ts": ts, "dur": dur, "args": {},
    }  # fmt: skip


def operator(name: str, ts: float, dur: float, thread: int = 1, sequence: int = -1) -> Event:
    """An operator on the processor."""
    args = {} if sequence < 0 else {"Sequence number": sequence}
    return {
        "ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": thread,
        "ts": ts, "dur": dur, "args": args,
    }  # fmt: skip
