"""Which module samples a device: NVIDIA's here, other vendors' from packages that add theirs."""

from __future__ import annotations

#: Kind of device, as torch calls it, to the module that runs as the sampler's process.
SAMPLERS = {"cuda": "seqprof.samplers.nvml"}
#: The group of entry points by which a package adds one: its name is the kind of device, its
#: value a module that is run with IDENTITY INTERVAL FILE PARENT and writes `records.Record` lines.
GROUP = "seqprof.samplers"


def sampler_module(kind: str) -> str:
    """Return the module for a kind of device; NVML's where none is known: it goes by UUID alone."""
    if kind in SAMPLERS:
        return SAMPLERS[kind]
    from importlib.metadata import entry_points  # with what it imports in turn, 30 ms

    added = {point.name: point.value for point in entry_points(group=GROUP)}
    return added.get(kind, SAMPLERS["cuda"])
