"""Who wrote a file that is no trace of torch.profiler, by what only that writer leaves in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Beginning of a text → what the file is, and what to do instead.
_TEXTS: tuple[tuple[bytes, str, str], ...] = (
    (
        rb"\s*version https://git-lfs",
        "it is a Git LFS pointer, not the file itself",
        "git lfs pull",
    ),
    (
        rb"(?i)\s*<(?:!doctype|html|\?xml|!--|head|body)",
        "it is a web page (HTML), as a failed download leaves",
        "download the raw file again",
    ),
    (rb"\xff\xfe|\xfe\xff", "it is UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE | seqprof trace -"),
    (
        rb"SQLite format 3",
        "it is a SQLite database, as Nsight Systems exports; seqprof does not read it",
        "record with torch.profiler",
    ),
    (
        rb'[^\n]{0,4096}"(?:CudaEvent|TraceProcessEvent|NvtxEvent)"',
        "it was written by Nsight Systems (JSON lines), which seqprof does not read",
        "record with torch.profiler",
    ),
    (
        rb'\s*\{[^\n]{0,4096}"\$schema"\s*:\s*"[^"]*speedscope',
        "it was written for speedscope, which seqprof does not read",
        "record with torch.profiler",
    ),
    (
        rb'\s*\{\s*"schema"\s*:\s*"[^"]*chakra',
        "it is an execution trace (ExecutionTraceObserver) without times of a device",
        "record with torch.profiler and export_chrome_trace",
    ),
    (
        rb'\s*\{[^\n]{0,4096}"ph"\s*:[^\n]*\}\s*\n\s*\{',
        "it holds one event on each line, without a list around them",
        "put [ before the first and a comma behind each",
    ),
    (rb"[\s\S]{0,512}?\x00", "it is a binary file", "give the JSON that export_chrome_trace wrote"),
)

#: Categories and names of processes → who writes them.
_CATEGORIES: tuple[tuple[str, str], ...] = (
    (
        r"^(?:disabled-by-default-)?(?:devtools|blink|v8|toplevel|loading|cc\b|benchmark)",
        "a browser",
    ),
    (r"^FEE$", "VizTracer"),
    (r"^(?:Session|Node)$", "ONNX Runtime"),
    (r"^Op$", "TensorFlow (its timeline)"),
)
_PROCESSES: tuple[tuple[str, str], ...] = (
    (r"^/job:", "TensorFlow (its timeline)"),
    (r"^/(?:device|host):", "JAX or TensorFlow (XLA's profiler)"),
    (r"(?i)ascend|cann", "Ascend's profiler (torch_npu)"),
)
_ARGUMENTS: Mapping[str, str] = {
    "Task Type": "Ascend's profiler (torch_npu)",
    "hlo_op": "JAX or TensorFlow (XLA's profiler)",
}
_OLD_PROCESS = re.compile(r"^(?:CPU|CUDA) functions$")


def what_text_is(head: bytes) -> tuple[str, str] | None:
    """What a text is that does not begin as a trace does, and what to do; None if unknown."""
    for pattern, what, hint in _TEXTS:
        if re.match(pattern, head):
            return what, hint
    return None


def writer_of(
    categories: Iterable[str], processes: Iterable[str], arguments: Iterable[str]
) -> str | None:
    """Who writes such categories, names of processes and arguments; None if unknown."""
    for argument in arguments:
        if argument in _ARGUMENTS:
            return _ARGUMENTS[argument]
    for names, known in ((processes, _PROCESSES), (categories, _CATEGORIES)):
        for name in names:
            if _OLD_PROCESS.search(name):
                return "torch.autograd.profiler before torch 1.8"
            for pattern, writer in known:
                if re.search(pattern, name):
                    return writer
    return None
