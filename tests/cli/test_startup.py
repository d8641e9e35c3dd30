"""Commands that train nothing start fast: as ratios to the bare imports, measured side by side."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest


def seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [(["--help"], 2.0), (["schema", "spec"], 4.0)],
    ids=["help", "schema-spec"],
)
def test_start_takes_a_small_multiple_of_the_imports(arguments: list[str], limit: float) -> None:
    ratios = [
        seconds("-m", "seqprof", *arguments) / seconds("-c", "import typer, rich") for _ in range(9)
    ]
    assert statistics.median(ratios) <= limit
