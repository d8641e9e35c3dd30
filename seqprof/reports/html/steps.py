"""The steps of a run one after the other: their wall times, and how busy the cores were in each."""

from __future__ import annotations

from seqprof.analysis.phases import steps_of
from seqprof.analysis.statistics import median, quantile
from seqprof.recording import Recording, Step, Trial
from seqprof.reports import quantities as q
from seqprof.reports.html.blocks import Block, Cell, Chart, Prose, Section, Table, word
from seqprof.reports.html.over_time import MOST_POINTS, over_time
from seqprof.reports.html.packed import thinned
from seqprof.reports.html.plots import Curve, Lines


def core_blocks(recording: Recording, trial: Trial) -> list[Block]:
    """Return how busy the processor's cores were in each bare step."""
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
        plot=over_time(
            [step.started_at_s for step in shown],
            [Curve(name="cores busy", colour="text", points=True, y=busy)],
            "cores busy",
            "1",
            trial,
        ),
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
    walls: dict[str, dict[int, float]] = {}
    for kind in ("bare", "probed"):
        walls[kind] = {step.pair: step.wall_s for step in trial.steps if step.kind == kind}
    measured = {kind: found for kind, found in walls.items() if found}
    chart = Chart(
        title="Wall time of each step",
        label="Wall time of each step in order: "
        + ", ".join(
            f"{kind}, median {q.seconds(median(found.values()))}"
            for kind, found in measured.items()
        ),
        plot=_wall_times(measured),
        table=_wall_table(measured),
        remarks=["Step and phase times come from the bare steps; the probed ones bear the marks."],
    )
    return Section(title=title, blocks=[chart])


def _wall_times(walls: dict[str, dict[int, float]]) -> Lines:
    pairs = sorted({pair for found in walls.values() for pair in found})
    is_whole = pairs == list(range(len(pairs)))
    return Lines(
        x=range(1, len(pairs) + 1) if is_whole else [pair + 1 for pair in pairs],
        xname="pair of steps",
        yname="wall time of a step",
        unit="s",
        whole=True,
        curves=[
            Curve(
                name=kind,
                colour="one" if kind == "bare" else "two",
                points=True,
                y=[found.get(pair) for pair in pairs],
            )
            for kind, found in walls.items()
        ],
    )


def _wall_table(walls: dict[str, dict[int, float]]) -> Table:
    method = "wall time of single steps"
    rows = [
        [
            word(kind),
            word(f"{len(found):,}"),
            *(
                Cell(text=q.seconds(quantile(list(found.values()), at)), method=method)
                for at in (0.0, 0.5, 1.0)
            ),
        ]
        for kind, found in walls.items()
    ]
    columns = ["kind", "steps", "smallest", "median", "largest"]
    return Table(caption="Wall time of a step", columns=columns, rows=rows)
