"""The heat map of a run: latency over the sequence, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.statistics import median
from seqprof.analysis.summary import Summary
from seqprof.analysis.timesteps import stretches
from seqprof.recording import LatencyMap, Trial
from seqprof.reports.html import cells
from seqprof.reports.html.blocks import Block, Cell, Chart, Prose, Section, Table, word
from seqprof.reports.html.plots import HeatMap
from seqprof.reports.html.timesteps import NAMES

#: Columns and rows of the table that stands beside the map.
_COLUMNS, _ROWS = 8, 12
_METHOD = "measured: mean of the marked timesteps, in one probed step"


def map_sections(summary: Summary, trial: Trial) -> list[Section]:
    """Return the maps; none for a run whose timesteps were not timed."""
    if not trial.latencies:
        return []
    title = "Timesteps, step by step"
    if not trial.latency_maps:
        reason = (
            "Not drawn: this recording holds the latencies of timesteps as quantiles over the "
            "steps, not those of single steps. It was made by an older seqprof; measure again."
        )
        return [Section(title=title, blocks=[Prose(lines=[reason], tone="quiet")])]
    blocks: list[Block] = [_chart(found) for found in trial.latency_maps]
    return [Section(title=title, blocks=blocks)]


def _chart(found: LatencyMap) -> Chart:
    steps, stretch = len(found.pairs), _stretch(found)
    name = f"{found.loop}, {NAMES[found.phase]}"
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
        title=f"{name} ({found.clock} clock)",
        label=f"Heat map of {name}: {steps} probed steps by {len(found.starts)} stretches of "
        f"{found.timesteps} timesteps",
        plot=HeatMap(
            starts=found.starts,
            end=found.timesteps,
            rows=[pair + 1 for pair in found.pairs],
            values=[value for row in found.mean_s for value in row],
        ),
        table=_table(name, found),
        remarks=remarks,
    )


def _stretch(found: LatencyMap) -> int:
    return round(found.timesteps / max(1, len(found.starts)))


def _table(name: str, found: LatencyMap) -> Table:
    """Medians over blocks of the map, small enough to be read."""
    across = stretches(len(found.starts), _COLUMNS)
    down = stretches(len(found.pairs), _ROWS)
    ends = [*found.starts, found.timesteps]
    columns = ["step", *(_range(ends[part[0]], ends[part[-1] + 1] - 1) for part in across)]
    rows = [
        [
            word(_range(found.pairs[part[0]] + 1, found.pairs[part[-1]] + 1)),
            *(_cell([found.mean_s[i][j] for i in part for j in columns_]) for columns_ in across),
        ]
        for part in down
    ]
    return Table(caption=f"{name}: timesteps across, probed steps down", columns=columns, rows=rows)


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _cell(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return cells.seconds(median(known) if known else None, _METHOD, "not marked in these steps")
