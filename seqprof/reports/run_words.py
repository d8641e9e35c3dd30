"""What is said of a run's model, on the console and on the page."""

from __future__ import annotations

from seqprof.analysis.findings import Header


def model_in_words(header: Header) -> str:
    """Name, form and shape of the model, as in "lstm (cell) · hidden 256 · layers 1"."""
    workload = header.workload
    form = f" ({workload.execution})" if workload.execution else ""
    shape = [
        key if value is True else f"{key.removesuffix('_size')} {value}"
        for key, value in header.shape.items()
    ]
    return " · ".join([f"{workload.model}{form}", *shape])
