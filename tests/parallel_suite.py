"""How the whole suite runs: in parallel, but for the tests that compare durations.

`pytest` without a path takes a worker a core (pytest-xdist); `-n 0` takes none. A test marked
`timing` holds durations against each other and runs while no other test does. Tests of a file that
share a fixture of the module go to one worker, which makes it once; results that many files read
are made once for all workers (`real_results.py`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

#: More would wait for each other: most of what is measured takes a core and its neighbour's cache.
MOST_WORKERS = 4


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Take workers where the whole suite was asked for and nothing was said of them."""
    if hasattr(config, "workerinput"):
        return  # a worker would start workers of its own, and these theirs
    if not config.pluginmanager.has_plugin("xdist") or config.option.numprocesses is not None:
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    cores = len(os.sched_getaffinity(0))
    if whole and cores > 1 and not config.option.usepdb and not config.option.collectonly:
        config.option.numprocesses = min(cores, MOST_WORKERS)
        config.option.dist = "loadgroup"
        config.option.loadscopereorder = False  # the order is ours


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Timing tests first, in one group; then long tests: no worker is left with one at the end."""
    if hasattr(config, "workerinput"):
        for item in items:
            _name_group(item)
    items.sort(key=_order)


def _name_group(item: Any) -> None:
    """Add the group to the id of a test, by which the tests of a group get one worker.

    Not by `pytest.mark.xdist_group`: pytest-xdist (3.8) asks a worker's own command line whether
    there are groups, and writes them to a field that pytest 9.2 no longer reads.
    """
    if _is_timing(item):
        group = "timing"
    elif any(fixtures[-1].scope == "module" for fixtures in _fixtures(item)):
        group = item.nodeid.partition("::")[0]
    else:
        return
    if hasattr(item, "_id"):
        item._id = type(item._id).parse(f"{item.nodeid}@{group}")
    else:  # before pytest 9.2
        item._nodeid = f"{item.nodeid}@{group}"


def _fixtures(item: Any) -> list[Any]:
    """For each fixture of a test its definitions; the last is the one that it gets."""
    return [found for found in item._fixtureinfo.name2fixturedefs.values() if found]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the group off the id: what is printed, and kept for `--last-failed`, is the test's."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # which takes them for the tests that it was sent
    name, at, group = report.nodeid.rpartition("@")
    if at and "]" not in group:  # else it is part of a parameter
        report.nodeid = name


def _order(item: pytest.Item) -> int:
    if _is_timing(item):
        return 0
    return 1 if item.get_closest_marker("slow") is not None else 2


# Timing tests alone ---------------------------------------------------------------------------


class Turns:
    """Workers take turns: any number of common tests at once, or a run of timing tests."""

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate.lock").open("w")
        self._place = (folder / "place.lock").open("w")
        self._alone = False

    def begin(self, alone: bool) -> None:
        """Wait until the next test may run."""
        if self._alone and alone:
            return
        # Who waits to be alone holds the gate: else the others would never all be done.
        with _locked(self._gate):
            fcntl.flock(self._place, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        self._alone = alone

    def end(self, next_alone: bool) -> None:
        """Let others go on, unless the next test wants to be alone too."""
        if not (self._alone and next_alone):
            fcntl.flock(self._place, fcntl.LOCK_UN)
            self._alone = False


@contextmanager
def _locked(file: IO[Any]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


_turns: list[Turns] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Wait for a turn where several workers run tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    if not _turns:
        factory: Any = item.config._tmp_path_factory  # type: ignore[attr-defined]
        _turns.append(Turns(factory.getbasetemp().parent))
    (turns,) = _turns
    turns.begin(_is_timing(item))
    try:
        return (yield)
    finally:
        turns.end(_is_timing(nextitem))


def _is_timing(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("timing") is not None
