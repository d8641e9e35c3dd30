"""The heat map of a run: latency over the sequence, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.latencies import maps_of
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.statistics import median
from seqprof.analysis.stretches import stretches
from seqprof.recording import LatencyMap, Trial
from seqprof.reports import cells
from seqprof.reports.document import DETAIL, Block, Cell, Chart, Prose, Section, Table, heads, word
from seqprof.reports.documents.run.repeats import NAMES
from seqprof.reports.plots import HeatMap

#: Columns and rows of the table that stands beside the map.
_COLUMNS, _ROWS = 8, 12
_METHOD = "measured: mean of the marked timesteps, in one probed step"


def map_sections(summary: Summary, trial: Trial) -> list[Section]:
    """Return the maps; none for a run whose timesteps were not timed."""
    if not trial.latencies:
        return []
    title = "Timesteps, step by step"
    maps = maps_of(trial.timestep_samples) or trial.latency_maps
    if not maps:
        reason = (
            "Not drawn: this recording holds the latencies of timesteps as quantiles over the "
            "steps, not those of single steps. It was made by an older seqprof; measure again."
        )
        return [Section(title=title, blocks=[Prose(lines=[reason], tone="quiet")], rank=DETAIL)]
    blocks: list[Block] = [_chart(latency_map) for latency_map in maps]
    return [Section(title=title, blocks=blocks, rank=DETAIL)]


def _chart(latency_map: LatencyMap) -> Chart:
    steps, stretch = len(latency_map.pairs), _stretch(latency_map)
    name = f"{latency_map.loop}, {NAMES[latency_map.phase]}"
    remarks = [
        "One row a probed step, the first at the top; one column "
        + (
            "a timestep."
            if stretch == 1
            else f"about {stretch} timesteps (the mean of those marked in that step)."
        )
        + " A vertical stripe is a timestep that is always slow; a horizontal one a slow step; a "
        "single spot a disturbance. Empty: not marked in that step."
    ]
    return Chart(
        title=f"{name} ({latency_map.clock} clock)",
        label=f"Heat map of {name}: {steps} probed steps by {len(latency_map.starts)} stretches of "
        f"{latency_map.timesteps} timesteps",
        plot=HeatMap(
            starts=latency_map.starts,
            end=latency_map.timesteps,
            rows=[pair + 1 for pair in latency_map.pairs],
            values=[value for row in latency_map.mean_s for value in row],
        ),
        table=_table(name, latency_map),
        remarks=remarks,
    )


def _stretch(latency_map: LatencyMap) -> int:
    return round(latency_map.timesteps / max(1, len(latency_map.starts)))


def _table(name: str, latency_map: LatencyMap) -> Table:
    """Medians over blocks of the map, small enough to be read."""
    across = stretches(len(latency_map.starts), _COLUMNS)
    down = stretches(len(latency_map.pairs), _ROWS)
    ends = [*latency_map.starts, latency_map.timesteps]
    columns = heads("step", *(_range(ends[part[0]], ends[part[-1] + 1] - 1) for part in across))
    rows = [
        [
            word(_range(latency_map.pairs[part[0]] + 1, latency_map.pairs[part[-1]] + 1)),
            *(
                _cell([latency_map.mean_s[i][j] for i in part for j in columns_])
                for columns_ in across
            ),
        ]
        for part in down
    ]
    return Table(caption=f"{name}: timesteps across, probed steps down", columns=columns, rows=rows)


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _cell(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return cells.seconds(median(known) if known else None, _METHOD, "not marked in these steps")
