"""What a model shares with the code that measures it, and can change under its feet."""

from __future__ import annotations

import os
import time

import torch

#: As they were when seqprof was imported: a model under test may have put others in their place.
_CLOCKS = (time.perf_counter, time.perf_counter_ns, time.monotonic_ns, time.time)


def process_state() -> dict[str, str]:
    """Return settings of this process that a model can change, by their names."""
    clocks = (time.perf_counter, time.perf_counter_ns, time.monotonic_ns, time.time)
    return {
        "torch's threads": str(torch.get_num_threads()),
        "default dtype": str(torch.get_default_dtype()),
        "gradients": "on" if torch.is_grad_enabled() else "off",
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "folder": _folder(),
        "clocks of the module time": "its own" if clocks == _CLOCKS else "replaced",
    }


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "gone"
