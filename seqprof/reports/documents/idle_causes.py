"""Why a device or the processor idles, in words."""

from __future__ import annotations

#: What ends a gap, in words; `docs/metrics.md` defines them.
CAUSES = {
    "launch": "the host had not launched the next yet",
    "sync": "the host waited inside a synchronizing call",
    "data": "the host waited for its data loader",
    "communication": "the host awaited a collective",
    "dependency": "queued already; the device needed the gap",
    "unknown": "the next launch is not in the trace",
}
PROCESSOR_CAUSES = {**CAUSES, "launch": "the host ran between operators (Python, autograd)"}
