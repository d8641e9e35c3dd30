"""Commands that train nothing start fast: as ratios to the bare imports, measured side by side.

By the time of the processor, which other tests beside them do not change; one command, whose start
is the others' too, by the clock as well: a start that waits for something takes no processor.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from example_recordings import cpu_cell
from stored_results import save


def processor_s() -> float:
    """What processes that have ended took of the processor so far."""
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def seconds(clock: Callable[[], float], *arguments: str) -> float:
    """What one process of Python takes by a clock."""
    start = clock()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return clock() - start


def ratio(
    arguments: tuple[str, ...], imports: str, clock: Callable[[], float], rounds: int
) -> float:
    """Median of what a command takes over what the imports of its libraries take."""
    bare = ("-c", f"import {imports}")
    command = ("-m", "seqprof", *arguments)
    seconds(clock, *command)  # its bytecode is there from now on
    return statistics.median(
        seconds(clock, *command) / seconds(clock, *bare) for _ in range(rounds)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.json"
    save(cpu_cell(), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "imports", "limit"),
    [
        ("--help", "typer, rich", 2.0),
        ("schema spec", "typer, rich", 4.0),
        ("schema recording", "typer, rich", 4.0),
        ("show RUN", "typer, rich", 4.0),
        ("show -f csv RUN", "typer, msgspec", 4.0),
        ("show -f markdown RUN", "typer, msgspec", 4.0),
        ("show -f prometheus RUN", "typer, msgspec", 4.0),
    ],
)
def test_start_takes_a_small_multiple_of_the_imports(
    run: Path, arguments: str, imports: str, limit: float
) -> None:
    words = tuple(str(run) if word == "RUN" else word for word in arguments.split())
    assert ratio(words, imports, processor_s, rounds=5) <= limit


@pytest.mark.timing
def test_start_waits_for_nothing(run: Path) -> None:
    assert ratio(("show", str(run)), "typer, rich", time.perf_counter, rounds=9) <= 4.0
