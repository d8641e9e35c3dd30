"""The head of a run's report: what was trained, where, and how long a step takes."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from seqprof.analysis.findings import Header
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import Summary
from seqprof.recording import DepthLaw
from seqprof.reports import quantities as q
from seqprof.reports.layout import pairs
from seqprof.reports.run_words import model_in_words


def render_header(summary: Summary, console: Console) -> None:
    """Print model, data, training, device, versions and the step."""
    header = summary.header
    environment, workload = header.environment, header.workload
    console.print(Text(f"seqprof {environment.seqprof}", style="bold"))
    device = environment.device
    place = device.name if not device.is_accelerator else f"{device.kind}: {device.name}"
    host = f" of {environment.cpu}" if device.is_accelerator else ""
    versions = [f"torch {environment.torch}", f"Python {environment.python}"]
    if environment.driver:
        versions.append(f"driver {environment.driver}")
    pairs(
        console,
        [
            ("model", f"{model_in_words(header)} · {workload.parameters:,} parameters"),
            ("data", workload.data),
            ("batch", _batch(summary)),
            ("training", ", ".join(_training(header))),
            ("device", place),
            ("threads", f"{environment.threads} on {environment.cores} cores{host}"),
            ("software", " · ".join(versions)),
            ("measured", _measured(header)),
            ("step", f"{with_interval(summary.step)} · {_throughput(summary)}"),
            *([("depth", _depth(summary.depth))] if summary.depth is not None else []),
        ],
    )


def _batch(summary: Summary) -> str:
    workload = summary.header.workload
    parts = [f"{workload.batch_size} sequences × {workload.timesteps} timesteps"]
    if workload.micro_batches > 1:
        parts.append(f"{workload.micro_batches} micro-batches per step")
    if summary.padding.value:
        parts.append(f"{q.percent(summary.padding)} padding")
    return " · ".join(parts)


def _training(header: Header) -> list[str]:
    workload = header.workload
    parts = [workload.optimizer, workload.precision]
    if workload.truncate:
        parts.append(f"BPTT truncated to {workload.truncate} timesteps")
    if workload.checkpointed:
        parts.append("activation checkpointing")
    if workload.compiled:
        parts.append("compiled")
    return [*parts, f"seed {header.seed}"]


def _measured(header: Header) -> str:
    text = (
        f"{header.bare_steps} bare and {header.probed_steps} probed steps, "
        f"after {header.warmup_steps} for warm-up"
    )
    return f"interrupted: {text}" if header.interrupted else text


def _throughput(summary: Summary) -> str:
    if summary.throughput.value is None:
        return f"throughput: {summary.throughput.reason}"
    return f"{q.rate(summary.throughput)} timesteps/s"


def _depth(depth: DepthLaw) -> str:
    """How many operations wait for each other, as in 15·T + 8 = 968 of 2,316."""
    if depth.depth_ops is None:
        return f"{depth.law or q.NOTHING} ({depth.reason or 'the law does not hold at this T'})"
    grows = depth.law is not None and any(term != "1" for term in depth.coefficients)
    law = f"{depth.law} = " if grows else ""
    of = "" if depth.work_ops is None else f" of {depth.work_ops:,}"
    constant = "" if grows or depth.law is None else " at any T"
    return f"{law}{depth.depth_ops:,}{of} operations on the longest chain{constant} (derived)"


def with_interval(estimate: Estimate) -> str:
    """A time with its 95 % interval, or why there is none."""
    if estimate.value is None:
        return f"{q.NOTHING} ({estimate.reason})"
    if estimate.low is None:
        return f"{q.time(estimate)} (too few steps for an interval)"
    return f"{q.time(estimate)} (95%: {q.time_interval(estimate)})"
