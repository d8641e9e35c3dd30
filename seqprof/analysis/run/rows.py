"""A run as flat rows: every quantity, then each timestep."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.quantities import Quantity
from seqprof.analysis.rows import Row, row, rows_of
from seqprof.analysis.run.quantities.run import RUN, Measured
from seqprof.analysis.run.quantities.timesteps import TIMESTEP_LATENCY_P50, TIMESTEP_LATENCY_P95
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.statistics import Estimate, median, missing
from seqprof.recording import TimestepLatency, Trial

#: Rows with a timestep, over all loops; beyond it neighbouring timesteps share a row.
MOST_TIMESTEP_ROWS = 16_384


def rows(
    summary: Summary, trial: Trial, most_timestep_rows: int = MOST_TIMESTEP_ROWS
) -> tuple[Row, ...]:
    """Return every number of the summary, then each timestep's p50 and p95."""
    return (
        *rows_of(RUN, Measured(summary, trial)),
        *_timesteps(trial, most_timestep_rows),
    )


def _timesteps(trial: Trial, most: int) -> Iterator[Row]:
    wanted = 2 * sum(len(latency.p50_s) for latency in trial.latencies)
    span = max(1, -(-wanted // max(most, 1)))
    for latency in trial.latencies:
        yield from _quantile(latency, TIMESTEP_LATENCY_P50, latency.p50_s, span)
        yield from _quantile(latency, TIMESTEP_LATENCY_P95, latency.p95_s, span)


def _quantile(
    latency: TimestepLatency, quantity: Quantity, values: tuple[float | None, ...], span: int
) -> Iterator[Row]:
    for first in range(0, len(values), span):
        part = values[first : first + span]
        yield row(
            quantity,
            _typical([value for value in part if value is not None]),
            {
                "phase": latency.phase,
                "timestep": first,
                "timesteps": len(part),
                "loop": latency.loop,
                "clock": latency.clock,
            },
        )


def _typical(known: list[float]) -> Estimate:
    if not known:
        return missing("s", "measured", "not marked")
    return Estimate(value=median(known), unit="s", method="measured", n=len(known))
