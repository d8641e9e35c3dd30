"""Which trackers there are, whether one can be used, and handing a result to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError

if TYPE_CHECKING:
    from seqprof.integrations.trackers.entries import Entries

#: Name (also of the package, its module and the extra) to what the part after ``=`` says.
TRACKERS = {
    "tensorboard": "folder of the event files",
    "wandb": "project",
    "mlflow": "tracking URI",
}


@dataclass(frozen=True, slots=True)
class Destination:
    """One ``--log``: a tracker, and where in it; None leaves that to the tracker's own settings."""

    name: str
    where: str | None


def parse(values: Sequence[str]) -> tuple[Destination, ...]:
    """Return the destinations that ``--log NAME[=WHERE]`` names.

    Nothing is imported: a tracker's package in memory, with its threads, would be in the numbers.

    Raises:
        SeqprofError: no tracker has that name, or its package is not installed.
    """
    return tuple(_parse(value) for value in values)


def _parse(value: str) -> Destination:
    name, _, where = value.partition("=")
    if name not in TRACKERS:
        from seqprof.suggest import did_you_mean

        raise SeqprofError(
            f"--log {value}: no tracker is called {name!r}{did_you_mean(name, list(TRACKERS))}",
            f"it takes {', '.join(TRACKERS)}; NAME=WHERE says where to",
        )
    installed = find_spec(name)
    # A folder of that name, as trackers leave them behind, is a package without a file to load.
    if installed is None or installed.origin is None:
        raise SeqprofError(
            f"--log {name} needs the package {name}, which is not installed",
            f"pip install 'seqprof[{name}]'",
            EXIT_CANNOT_MEASURE,
        )
    return Destination(name, where or None)


def send(logged: Entries, destination: Destination) -> str:
    """Hand a result to a tracker.

    Returns:
        Where it is now, in words for the user.

    Raises:
        Exception: whatever the tracker's package raises; it is as varied as their servers.
    """
    module = import_module(f"seqprof.integrations.trackers.to_{destination.name}")
    log: Callable[[Entries, str | None], str] = module.log
    return log(logged, destination.where)
