"""Where and how something was measured, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from seqprof.analysis.run.findings import Header
from seqprof.recording import Environment


def when(created: str) -> str:
    """Return a time of ISO 8601 as it is read: 2026-11-25 09:06 UTC."""
    try:
        return f"{datetime.fromisoformat(created).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return created


def place(environment: Environment) -> list[tuple[str, str]]:
    """Return where something was measured, as facts."""
    device = environment.device
    name = f"{device.kind}: {device.name}" if device.is_accelerator else device.name
    host = f" of {environment.cpu}" if device.is_accelerator else ""
    versions = [
        f"seqprof {environment.seqprof}",
        f"torch {environment.torch}",
        f"Python {environment.python}",
    ]
    versions += [f"driver {environment.driver}"] if environment.driver else []
    facts = [
        ("device", name),
        ("threads", f"{environment.threads} on {environment.cores} cores{host}"),
        ("software", " · ".join(versions)),
        ("platform", environment.platform),
    ]
    return facts + ([("commit", environment.commit)] if environment.commit else [])


def place_in_short(environment: Environment) -> str:
    """Return where something was measured, in one line."""
    cores = f"{environment.threads} threads" if environment.threads != 1 else "1 thread"
    return f"{environment.device.name} · {cores} · torch {environment.torch}"


def training(header: Header) -> str:
    """Return how it is trained, in one line."""
    workload = header.workload
    parts = [workload.optimizer, workload.precision]
    if workload.micro_batches > 1:
        parts.append(f"{workload.micro_batches} micro-batches per step")
    if workload.truncate:
        parts.append(f"BPTT truncated to {workload.truncate} timesteps")
    parts += ["activation checkpointing"] if workload.checkpointed else []
    parts += ["compiled"] if workload.compiled else []
    parts += [] if header.seed is None else [f"seed {header.seed}"]
    return ", ".join(parts)
