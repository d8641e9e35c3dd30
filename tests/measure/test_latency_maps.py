"""Maps of single steps: bounded, true means, and no holes where marks are spread."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from seqprof.measure.collect import MAP_CELLS, MAP_ROWS, _latency_map
from seqprof.recording import Clock

KEY: tuple[str, bool, str, Clock] = ("cell", False, "forward", "host")


def rows(steps: int, timesteps: int, stride: int = 1) -> list[np.ndarray]:
    """Timestep t of step s takes (1000 s + t) µs; every stride-th is marked, from a new offset."""
    made = []
    for step in range(steps):
        row = (1000.0 * step + np.arange(timesteps)) * 1e-6
        unmarked = (np.arange(timesteps) + step) % stride != 0
        row[unmarked] = np.nan
        made.append(row)
    return made


def test_few_steps_of_few_timesteps_are_kept_one_by_one() -> None:
    found = _latency_map(KEY, rows(3, 8), [0, 1, 2], MAP_CELLS)  # type: ignore[arg-type]
    assert found.pairs == (0, 1, 2)
    assert found.starts == tuple(range(8))
    assert found.mean_s[2] == tuple(round(0.002 + t * 1e-6, 5) for t in range(8))


@pytest.mark.parametrize("timesteps", [4096, 16_384])
def test_a_long_run_stays_small(timesteps: int) -> None:
    maps = [
        _latency_map(KEY, rows(50, timesteps), list(range(50)), MAP_CELLS // 4)  # type: ignore[arg-type]
        for _ in range(4)
    ]
    assert all(len(found.pairs) <= MAP_ROWS for found in maps)
    assert sum(len(found.pairs) * len(found.starts) for found in maps) <= MAP_CELLS
    assert len(msgspec.json.encode(maps)) < 200_000


def test_a_column_is_the_mean_of_its_marked_timesteps() -> None:
    found = _latency_map(KEY, rows(1, 100), [0], 10)  # type: ignore[arg-type]
    assert found.starts == tuple(range(0, 100, 10))
    assert found.mean_s[0][3] == pytest.approx(34.5e-6, rel=0.01)


@pytest.mark.parametrize("stride", [2, 5, 7])
def test_marks_that_are_spread_leave_no_holes(stride: int) -> None:
    found = _latency_map(KEY, rows(20, 250, stride), list(range(20)), MAP_CELLS)  # type: ignore[arg-type]
    assert len(found.starts) == 250 // stride
    assert all(value is not None for row in found.mean_s for value in row)


def test_what_was_never_marked_is_null() -> None:
    row = np.full(8, np.nan)
    row[:4] = 1e-6
    found = _latency_map(KEY, [row], [7], MAP_CELLS)  # type: ignore[arg-type]
    assert found.pairs == (7,)
    assert found.mean_s == ((1e-6,) * 4 + (None,) * 4,)


def test_micro_batches_of_a_step_share_a_row() -> None:
    found = _latency_map(KEY, [np.full(4, 1e-3), np.full(4, 3e-3)], [5, 5], MAP_CELLS)  # type: ignore[arg-type]
    assert found.pairs == (5,)
    assert found.mean_s == ((2e-3,) * 4,)
