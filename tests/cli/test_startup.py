"""Commands that train nothing start fast: as ratios to the bare imports, measured side by side."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from example_recordings import cpu_cell
from stored_results import save


def seconds(*arguments: str) -> float:
    """Wall time of one process of Python."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def ratio(arguments: tuple[str, ...], imports: str) -> float:
    """Median of what a command takes over what the imports of its libraries take."""
    bare = ("-c", f"import {imports}")
    command = ("-m", "seqprof", *arguments)
    seconds(*command)  # its bytecode is there from now on
    return statistics.median(seconds(*command) / seconds(*bare) for _ in range(9))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.json"
    save(cpu_cell(), path)
    return path


@pytest.mark.timing
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
    assert ratio(words, imports) <= limit
