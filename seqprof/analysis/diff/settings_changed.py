"""What differs between two runs besides their times: spec, environment, and what rules it out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from seqprof.analysis.diff.unpaired import CONTENDED_SPREAD
from seqprof.analysis.host_load import queueing_share
from seqprof.analysis.run.caveats.every import HIGH_OTHER_LOAD, HIGH_STEAL, HIGH_SWITCH_RATE
from seqprof.recording import Environment, HostLoad, Trial, Workload

#: Values of a spec that say nothing: a key that only one seqprof knew, left at its default.
_EMPTY: tuple[Any, ...] = (None, False, "", {}, [])
#: Change of other programs' load, in shares of the cores, that is told.
LOAD_CHANGE = 0.10
#: A thread that waits for a processor the share w of the time takes 1 / (1 - w) times as long. At
#: w = 0.84, medians of 36 runs of one program had a standard deviation of 0.64 in the logarithm,
#: half of that of 1 / (1 - w) (docs/evidence/intervals.md). So much waiting does no harm.
WAITING_SPREAD, HARMLESS_WAITING = 0.5, 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One key that has another value."""

    key: Annotated[str, Meta(description="dotted: model.hidden_size, environment.torch")]
    base: Annotated[Any, Meta(description="null where it was not set, or not known")]
    new: Any


def changed_spec(base: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[SettingChange, ...]:
    """Return the keys of two whole specs that differ, in the order of the specs."""
    before, after = dict(_flat(base)), dict(_flat(new))
    return tuple(
        SettingChange(key=key, base=before.get(key), new=after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key) and not _only_known_to_one(key, before, after)
    )


def _only_known_to_one(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return (key in before) != (key in after) and before.get(key, after.get(key)) in _EMPTY


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def changed_environment(base: Environment, new: Environment) -> tuple[SettingChange, ...]:
    """Return what differs of the machine and its software."""
    before, after = _environment(base), _environment(new)
    return tuple(
        SettingChange(key=f"environment.{key}", base=before.get(key), new=after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def _environment(of: Environment) -> dict[str, Any]:
    device = of.device
    return {
        "commit": of.commit,
        "seqprof": of.seqprof,
        "torch": of.torch,
        "python": of.python,
        "platform": of.platform,
        "cpu": of.cpu,
        "cores": of.cores,
        "threads": of.threads,
        "device.kind": device.kind,
        "device.name": device.name,
        "device.uuid": device.uuid,
        "device.total_memory_bytes": device.total_memory_bytes,
        "driver": of.driver,
        "monitor": of.monitor,
        **{f"libraries.{name}": version for name, version in of.libraries.items()},
    }


def changed_workload(base: Workload, new: Workload) -> tuple[SettingChange, ...]:
    """Return what differs of the workload as it was built, beyond what the spec says."""
    names = ("parameters", "flops_per_step", "data", "compiled", "execution")
    return tuple(
        SettingChange(key=f"workload.{name}", base=getattr(base, name), new=getattr(new, name))
        for name in names
        if getattr(base, name) != getattr(new, name)
    )


def changed_load(
    base: HostLoad | None, new: HostLoad | None, cores: int
) -> tuple[SettingChange, ...]:
    """Return how many cores other programs kept busy, where that differs."""
    before, after = other_load(base), other_load(new)
    if before is None or after is None or abs(before - after) <= LOAD_CHANGE * cores:
        return ()
    key = "environment.other_load_cores"
    return (SettingChange(key=key, base=round(before, 1), new=round(after, 1)),)


def other_load(load: HostLoad | None) -> float | None:
    """Return the cores that other programs kept busy, on average; None where it is not known."""
    if load is None or load.others_s is None or load.window_s <= 0.0:
        return None
    return load.others_s / load.window_s


def contention(load: HostLoad | None, environment: Environment) -> float:
    """Return the share of torch's threads that no core was free for; 0 where it is not known.

    Where other programs leave enough cores, steps hardly notice them. Above 1 where threads were
    seen to wait so long that runs of one program differ by more than that share says.
    """
    threads = min(environment.threads, environment.cores)
    wanted = (other_load(load) or 0.0) + threads - environment.cores
    waited = min(queueing_share(load) / threads, 1.0) - HARMLESS_WAITING
    seen = -WAITING_SPREAD * math.log1p(-max(0.0, waited)) / CONTENDED_SPREAD
    return max(min(1.0, max(0.0, wanted / threads)), seen)


def disturbed(load: HostLoad | None, environment: Environment) -> bool:
    """Whether other programs or machines held the process off the processor."""
    if load is None or load.window_s <= 0.0:
        return False
    stolen = (load.steal_s or 0.0) / (load.window_s * environment.cores)
    switches = (load.involuntary_switches or 0) / load.window_s
    return (
        contention(load, environment) > HIGH_OTHER_LOAD
        or stolen > HIGH_STEAL
        or switches > HIGH_SWITCH_RATE
    )


def why_incomparable(base: Environment, new: Environment) -> tuple[str, ...]:
    """Return what of two machines makes a ratio of times say nothing about the program."""
    a, b = (f"{of.device.kind}: {of.device.name}" for of in (base, new))
    names = {
        "device": (a, b),
        "processor": (base.cpu, new.cpu),
        "threads": (base.threads, new.threads),
    }
    return _differing(names)


def why_incomparable_work(base: Trial, new: Trial) -> tuple[str, ...]:
    """Return what of two workloads makes them different tasks. Sizes of a model do not."""
    a, b = base.workload, new.workload
    names = {
        "model": (a.model, b.model),
        "timesteps T": (a.timesteps, b.timesteps),
        "batch size": (a.batch_size, b.batch_size),
        "micro-batches": (a.micro_batches, b.micro_batches),
        "truncated BPTT": (a.truncate, b.truncate),
    }
    return _differing(names)


def _differing(names: Mapping[str, tuple[Any, Any]]) -> tuple[str, ...]:
    return tuple(f"{name}: {a} → {b}" for name, (a, b) in names.items() if a != b)
