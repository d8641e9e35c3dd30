"""A run's model, its steps and its times in words."""

from __future__ import annotations

from seqprof.analysis.run.findings import Header
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import batch_in_words, length_in_words
from seqprof.recording import Trial
from seqprof.reports import quantities as q


def model_in_words(header: Header) -> str:
    """Name, form and shape of the model, as in "lstm (cell) · hidden 256 · layers 1"."""
    workload = header.workload
    form = f" ({workload.execution})" if workload.execution else ""
    shape = [
        key if value is True else f"{key.removesuffix('_size')} {value}"
        for key, value in header.shape.items()
    ]
    return " · ".join([f"{workload.model}{form}", *shape])


def timesteps_in_words(header: Header) -> str:
    """Say T: one number, or where it lay in the steps as they came."""
    lengths = header.lengths
    if lengths is None or lengths.shortest == lengths.longest:
        return length_in_words(header.workload.timesteps)
    return f"T {lengths.shortest:,}–{lengths.longest:,}, median {lengths.median:,.0f}"


def batch_sizes_in_words(trial: Trial) -> str:
    """Say B: one number, or where it lay in the steps as they came."""
    sizes = [size for step in trial.steps for size in step.batch_sizes]
    smallest, largest = min(sizes, default=0), max(sizes, default=0)
    if smallest == largest:
        return batch_in_words(trial.workload.batch_size)
    return f"batch {smallest:,}–{largest:,}"


def steps_in_words(header: Header) -> str:
    """Say how many steps were measured."""
    cut = "interrupted: " if header.interrupted else ""
    kind = "bounded" if header.seed is None else "bare"  # those of a script's own loop
    return f"{cut}{header.bare_steps} {kind} and {header.probed_steps} probed steps"


def with_interval(estimate: Estimate) -> str:
    """A time with its 95 % interval, or why there is none."""
    if estimate.value is None:
        return f"{q.NOTHING} ({estimate.reason})"
    if estimate.low is None:
        return f"{q.time(estimate)} (too few steps for an interval)"
    return f"{q.time(estimate)} (95%: {q.time_interval(estimate)})"
