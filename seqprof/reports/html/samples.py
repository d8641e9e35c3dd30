"""What samplers saw over time, with the phases behind, and the steps one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqprof.analysis.phases import steps_of
from seqprof.analysis.statistics import median, quantile
from seqprof.recording import PHASES, Recording, SampleSeries, Step, Trial
from seqprof.reports import quantities as q
from seqprof.reports.html.blocks import Block, Cell, Chart, Folded, Prose, Section, Table, word
from seqprof.reports.html.packed import pack, thinned

#: Points of one series; of more, every k-th is drawn.
MOST_POINTS = 5_000
#: Steps whose phases are drawn behind the samples.
MOST_STEPS = 2_000
_RATIOS = ("nvml_utilization", "nvml_memory_utilization", "sm_active", "sm_occupancy")
#: Unit of each other metric; a bit mask is no curve.
_UNITS = {
    "memory_used_bytes": "B",
    "power_w": "W",
    "sm_clock_hz": "Hz",
    "memory_clock_hz": "Hz",
    "temperature_c": "°C",
}
#: Not those of the phases, which lie behind.
_COLOURS = ("text", "bad", "good", "quiet")


def sample_section(recording: Recording, trial: Trial) -> Section:
    """Return utilization over time; without an accelerator that of the processor's cores."""
    title = "Utilization over time"
    if not recording.environment.device.is_accelerator:
        return Section(title=title, blocks=_cores(recording, trial))
    series = [s for s in trial.samples.series if s.metric in _RATIOS and s.at_s]
    absent = [f"{metric}: {q.NOTHING} {why}" for metric, why in trial.samples.absent.items()]
    if not series:
        reason = trial.samples.reason or "the sampler brought no utilization"
        return Section(
            title=title, blocks=[Prose(lines=[f"Not sampled: {reason}.", *absent], tone="quiet")]
        )
    blocks: list[Block] = [_chart("Utilization", series, "1", trial)]
    others = [s for s in trial.samples.series if s.metric in _UNITS and s.at_s]
    if others:
        charts = [_chart(s.metric, [s], _UNITS[s.metric], trial) for s in others]
        blocks.append(Folded(summary="Power, clocks, memory, temperature", blocks=charts))
    if absent:
        blocks.append(Prose(lines=absent, tone="quiet"))
    return Section(title=title, blocks=blocks)


def _chart(title: str, series: Sequence[SampleSeries], unit: str, trial: Trial) -> Chart:
    every = [thinned(len(s.at_s), MOST_POINTS) for s in series]
    times = sorted({at for s, k in zip(series, every, strict=True) for at in s.at_s[::k]})
    windows = [
        f"{s.metric}: {s.source}"
        + ("" if s.window_s is None else f"; each covers the {q.seconds(s.window_s)} before it")
        for s in series
    ]
    drawn = [
        {
            "name": s.metric,
            "colour": _COLOURS[index % len(_COLOURS)],
            "stepped": s.window_s is not None,
            "y": pack(_at(times, dict(zip(s.at_s[::k], s.value[::k], strict=True)))),
        }
        for index, (s, k) in enumerate(zip(series, every, strict=True))
    ]
    thin = max(every)
    remarks = [
        *windows,
        "Behind: the measured steps and, for each phase repeated alone, its dwell; zoom in to see "
        "the phases of single steps (on the host). A sample covers far more than one phase of a "
        "short step.",
    ] + ([f"Every {thin}th sample is drawn; the JSON has all."] if thin > 1 else [])
    return Chart(
        title=title,
        label=f"{title} over {times[-1] - times[0]:.1f} s: "
        + ", ".join(f"{s.metric}, median {_shown(median(s.value), unit)}" for s in series),
        data={
            "kind": "lines",
            "x": pack(times, digits=6),
            "xname": "seconds",
            "unit": unit,
            "series": drawn,
            **_behind(trial),
        },
        table=_table(title, series, unit),
        remarks=remarks,
    )


def _at(times: Sequence[float], values: dict[float, float]) -> list[float | None]:
    return [values.get(at) for at in times]


def _shown(value: float, unit: str) -> str:
    if unit == "1":
        return f"{value:.0%}"
    if unit == "B":
        return f"{value / 2**30:.2f} GiB"
    if unit == "Hz":
        return f"{value / 1e6:,.0f} MHz"
    return f"{value:.4g} {unit}"


def _table(title: str, series: Sequence[SampleSeries], unit: str) -> Table:
    columns = ["metric", "samples", "smallest", "p25", "median", "p75", "largest"]
    rows = [
        [
            word(s.metric),
            word(f"{len(s.value):,}"),
            *(
                Cell(text=_shown(quantile(s.value, at), unit), method=s.source)
                for at in (0.0, 0.25, 0.5, 0.75, 1.0)
            ),
        ]
        for s in series
    ]
    return Table(caption=f"{title}: all samples", columns=columns, rows=rows)


# What was going on meanwhile ------------------------------------------------------------------


def _behind(trial: Trial) -> dict[str, Any]:
    """Return the spans and steps that a plot over time has behind its curves."""
    spans = [
        {"from": dwell.started_at_s, "to": dwell.ended_at_s, "name": dwell.phase,
         "colour": dwell.phase}
        for dwell in trial.dwells
    ]  # fmt: skip
    if not trial.steps:
        return {"spans": spans}
    last = trial.steps[-1]
    whole = {
        "from": trial.steps[0].started_at_s,
        "to": last.started_at_s + last.wall_s,
        "name": "measured steps",
        "colour": "step",
    }
    return {"spans": [whole, *spans], "steps": _phases(trial)}


def _phases(trial: Trial) -> dict[str, Any] | None:
    """Return where each step's phases lie, on the host; None where that is not recorded.

    Of several micro-batches, and with truncated BPTT, only sums over their phases are.
    """
    workload = trial.workload
    if workload.micro_batches > 1 or workload.truncate or len(trial.steps) > MOST_STEPS:
        return None
    return {
        "at": pack((step.started_at_s for step in trial.steps), digits=7),
        "phases": {
            phase: pack(step.phases[phase].host_s if phase in step.phases else 0.0
                        for step in trial.steps)
            for phase in PHASES
        },
    }  # fmt: skip


# The processor --------------------------------------------------------------------------------


def _cores(recording: Recording, trial: Trial) -> list[Block]:
    bare, threads = steps_of(trial, "bare"), recording.environment.threads
    if not bare:
        return [Prose(lines=["Not measured: no bare step was measured."], tone="quiet")]
    shown = bare[:: thinned(len(bare), MOST_POINTS)]
    method = "process CPU time / (wall time × threads), one bare step"
    busy = [_busy(step, threads) for step in shown]
    table = Table(
        caption="Cores busy, all bare steps",
        columns=["steps", "smallest", "median", "largest"],
        rows=[
            [
                word(f"{len(bare):,}"),
                *(Cell(text=f"{quantile(busy, at):.0%}", method=method) for at in (0.0, 0.5, 1.0)),
            ]
        ],
    )
    chart = Chart(
        title="Cores busy in each bare step",
        label=f"Share of the cores' time that was busy in each of {len(shown)} bare steps: median "
        f"{median(busy):.0%}",
        data={
            "kind": "lines",
            "x": pack((step.started_at_s for step in shown), digits=6),
            "xname": "seconds",
            "unit": "1",
            "series": [{"name": "cores busy", "colour": "text", "points": True, "y": pack(busy)}],
            **_behind(trial),
        },
        table=table,
        remarks=[
            f"{method}. There is no accelerator: the processor stands in for it, and a core that "
            "spins while it waits counts as busy.",
        ],
    )
    return [chart]


def _busy(step: Step, threads: int) -> float:
    spent = sum(timing.cpu_s for timing in step.phases.values())
    wall = sum(timing.host_s for timing in step.phases.values())
    return spent / (wall * threads) if wall > 0.0 else 0.0


def step_section(trial: Trial) -> Section:
    """Return the wall time of every step in order, which shows drift and disturbances."""
    title = "Every step"
    if not trial.steps:
        return Section(title=title, blocks=[Prose(lines=["No step was measured."], tone="quiet")])
    kinds = [kind for kind in ("bare", "probed") if any(s.kind == kind for s in trial.steps)]
    pairs = sorted({step.pair for step in trial.steps})
    walls: dict[tuple[int, str], float] = {
        (step.pair, step.kind): step.wall_s for step in trial.steps
    }
    of_kind = {kind: [s.wall_s for s in trial.steps if s.kind == kind] for kind in kinds}
    table = Table(
        caption="Wall time of a step",
        columns=["kind", "steps", "smallest", "median", "largest"],
        rows=[
            [
                word(kind),
                word(f"{len(found):,}"),
                *(
                    Cell(text=q.seconds(quantile(found, at)), method="wall time of single steps")
                    for at in (0.0, 0.5, 1.0)
                ),
            ]
            for kind, found in of_kind.items()
        ],
    )
    chart = Chart(
        title="Wall time of each step",
        label="Wall time of each step in order: "
        + ", ".join(f"{kind}, median {q.seconds(median(v))}" for kind, v in of_kind.items()),
        data={
            "kind": "lines",
            "x": {"from": 1, "step": 1, "count": len(pairs)}
            if pairs == list(range(len(pairs)))
            else pack(pair + 1 for pair in pairs),
            "xname": "pair of steps",
            "unit": "s",
            "series": [
                {
                    "name": kind,
                    "colour": "one" if kind == "bare" else "two",
                    "points": True,
                    "y": pack(walls.get((pair, kind)) for pair in pairs),
                }
                for kind in kinds
            ],
        },
        table=table,
        remarks=["Step and phase times come from the bare steps; the probed ones bear the marks."],
    )
    return Section(title=title, blocks=[chart])
