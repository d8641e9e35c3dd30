"""All quantities, by their keys: of one kind of result, or of all.

Loaded by kind, because `show` of a run must not wait for the libraries of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from seqprof.analysis.quantities import Quantity

#: Kind of result to the module of `analysis` whose ``QUANTITIES`` its rows are made of.
MODULES = {
    "run": "run.quantities.run",
    "compare": "compare.quantities",
    "scale": "scale.quantities",
    "depth": "depth.quantities",
    "trace": "timeline.quantities",
    "ranks": "timeline.quantities",
}


def quantities_of(kind: str) -> Mapping[str, Quantity]:
    """Return the quantities that the rows of a kind of result can have."""
    module = import_module(f"seqprof.analysis.{MODULES[kind]}")
    quantities: Mapping[str, Quantity] = module.QUANTITIES
    return quantities


@cache
def every_quantity() -> Mapping[str, Quantity]:
    """Return the quantities of all kinds."""
    return {key: entry for kind in MODULES for key, entry in quantities_of(kind).items()}
