"""Quantiles and maps from the samples of timesteps: true, bounded, without holes; derived anew."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from example_recordings import cpu_cell
from stored_results import document_of

from seqprof import store
from seqprof.analysis.derived import derived
from seqprof.analysis.run.latencies import (
    MAP_CELLS,
    MAP_ROWS,
    SAMPLE_CELLS,
    Row,
    bounded,
    latencies_of,
    maps_of,
)
from seqprof.recording import CountedDepth, DepthLaw, LatencyMap, TimestepSamples


def samples(
    rows: list[Row], pairs: list[int] | None = None, phase: str = "forward"
) -> TimestepSamples:
    return TimestepSamples(
        loop="cell",
        phase=phase,  # type: ignore[arg-type]
        clock="host",
        reverse=False,
        pairs=tuple(range(len(rows)) if pairs is None else pairs),
        rows=tuple(map(tuple, rows)),
    )


def planted(steps: int, timesteps: int, stride: int = 1) -> list[Row]:
    """Timestep t of step s takes (1000 s + t) µs; every stride-th is marked, from a new offset."""
    return [
        [(1000.0 * s + t) * 1e-6 if (t + s) % stride == 0 else None for t in range(timesteps)]
        for s in range(steps)
    ]


def map_of(rows: list[Row], pairs: list[int] | None = None) -> LatencyMap:
    (made,) = maps_of([samples(rows, pairs)])
    return made


def test_quantiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    table = rng.lognormal(-8, 1, (23, 9))
    table[rng.random(table.shape) < 0.3] = math.nan
    table[:, 4] = math.nan
    table[20, 6:] = math.nan
    rows: list[Row] = [[None if math.isnan(v) else v for v in row] for row in table.tolist()]
    rows[20] = rows[20][:6]  # a shorter sequence
    (made,) = latencies_of([samples(rows)])
    seen = [t for t in range(9) if t != 4]
    assert made.samples == tuple(int(n) for n in (~np.isnan(table)).sum(axis=0))
    for name, q in (("p05_s", 5), ("p25_s", 25), ("p50_s", 50), ("p75_s", 75), ("p95_s", 95)):
        column = getattr(made, name)
        assert column[4] is None
        expected = np.nanpercentile(table[:, seen], q, axis=0)
        assert [column[t] for t in seen] == pytest.approx(expected.tolist(), rel=1e-4)
    means = np.nanmean(table[:, seen], axis=0)
    assert [made.mean_s[t] for t in seen] == pytest.approx(means.tolist(), rel=1e-4)


def test_a_recording_that_is_read_is_derived_from_its_samples() -> None:
    """What an older analysis wrote beside them does not stand."""
    made = cpu_cell()
    own = (samples(planted(9, 12)), samples(planted(9, 12), phase="backward"))
    counted = CountedDepth(
        lengths=(4, 5, 6, 8, 12),
        depth_ops=tuple(15 * t - 2 for t in (4, 5, 6, 8, 12)),
        work_ops=tuple(40 * t + 7 for t in (4, 5, 6, 8, 12)),
        batch_size=2,
    )
    wrong = replace(
        made.trials[0],
        timestep_samples=own,
        latencies=latencies_of([samples([[1.0] * 12])]),
        depth=DepthLaw(timesteps=128, depth_ops=1, law="T", counted=counted),
    )
    changed = replace(made, trials=(wrong,))
    document = document_of(changed)
    again = derived(store.loads(document)).trials[0]
    assert again.latencies == latencies_of(own)
    assert again.depth is not None
    assert (again.depth.law, again.depth.depth_ops) == ("15·T - 2", 15 * 128 - 2)
    assert again.depth.work_ops == 40 * 128 + 7


def test_a_recording_without_samples_stands() -> None:
    made = cpu_cell()
    assert derived(made) == made


def test_more_samples_than_a_file_should_hold_are_left_out() -> None:
    row: Row = [1.2345e-5] * 1000
    most = samples([row] * (SAMPLE_CELLS // 1000))
    assert bounded([most]) == (most,)
    assert len(msgspec.json.encode(most)) < 5_000_000
    assert bounded([most, samples([row])]) == ()


def test_few_steps_of_few_timesteps_are_kept_one_by_one() -> None:
    found = map_of(planted(3, 8))
    assert found.pairs == (0, 1, 2)
    assert found.starts == tuple(range(8))
    assert found.mean_s[2] == tuple(round(0.002 + t * 1e-6, 5) for t in range(8))


@pytest.mark.parametrize("timesteps", [4096, 16_384])
def test_a_long_run_stays_small(timesteps: int) -> None:
    maps = maps_of([samples(planted(50, timesteps))] * 4)
    assert all(len(found.pairs) <= MAP_ROWS for found in maps)
    assert sum(len(found.pairs) * len(found.starts) for found in maps) <= MAP_CELLS
    assert len(msgspec.json.encode(maps)) < 200_000


def test_a_column_is_the_mean_of_its_marked_timesteps() -> None:
    found = map_of(planted(1, 2 * MAP_CELLS))
    assert found.starts == tuple(range(0, 2 * MAP_CELLS, 2))
    assert found.mean_s[0][17] == pytest.approx(34.5e-6, rel=0.01)


@pytest.mark.parametrize("stride", [2, 5, 7])
def test_marks_that_are_spread_leave_no_holes(stride: int) -> None:
    found = map_of(planted(20, 250, stride))
    assert len(found.starts) == 250 // stride
    assert all(value is not None for row in found.mean_s for value in row)


def test_what_was_never_marked_is_null() -> None:
    found = map_of([[1e-6] * 4 + [None] * 4], [7])
    assert found.pairs == (7,)
    assert found.mean_s == ((1e-6,) * 4 + (None,) * 4,)


def test_micro_batches_of_a_step_share_a_row() -> None:
    found = map_of([[1e-3] * 4, [3e-3] * 4], [5, 5])
    assert found.pairs == (5,)
    assert found.mean_s == ((2e-3,) * 4,)
