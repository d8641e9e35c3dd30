"""The steps of a run one after the other: their wall times, and how busy the cores were in each."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.run.perturbation import KindCost
from seqprof.analysis.run.phases import metered_steps
from seqprof.analysis.statistics import Estimate, median, quantile
from seqprof.recording import Recording, Step, Trial
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import DETAIL, Block, Cell, Chart, Prose, Section, Table, heads, word
from seqprof.reports.documents.run.over_time import MOST_POINTS, over_time
from seqprof.reports.plots import Curve, Lines, thinned


def core_blocks(recording: Recording, trial: Trial) -> list[Block]:
    """Return how busy the processor's cores were in each metered step."""
    bare, threads = metered_steps(trial), recording.environment.threads
    if not bare:
        return [Prose(lines=["Not measured: no step with CPU clocks was measured."], tone="quiet")]
    shown = bare[:: thinned(len(bare), MOST_POINTS)]
    method = "process CPU time / (wall time × threads), one metered step"
    busy = [_busy(step, threads) for step in shown]
    table = Table(
        caption="Cores busy, all metered steps",
        columns=heads("steps", "smallest", "median", "largest"),
        rows=[
            [
                word(f"{len(bare):,}"),
                *(Cell(text=q.share(quantile(busy, at)), method=method) for at in (0.0, 0.5, 1.0)),
            ]
        ],
    )
    chart = Chart(
        title="Cores busy in each metered step",
        label=f"Share of the cores' time that was busy in each of {len(shown)} metered "
        "steps: median "
        f"{q.share(median(busy))}",
        plot=over_time(
            [step.started_at_s for step in shown],
            [Curve(name="cores busy", colour="text", points=True, y=busy)],
            "cores busy",
            "1",
            trial,
        ),
        table=table,
        remarks=[
            f"{method}. No GPU found: this is the CPU, and a core that "
            "spins while it waits counts as busy.",
        ],
    )
    return [chart]


def _busy(step: Step, threads: int) -> float:
    spent = sum(timing.cpu_s or 0.0 for timing in step.phases.values())
    wall = sum(timing.host_s for timing in step.phases.values())
    return spent / (wall * threads) if wall > 0.0 else 0.0


def step_section(trial: Trial, costs: Sequence[KindCost]) -> Section:
    """Return the wall time of every step in order, which shows drift and disturbances."""
    title = "Every step"
    if not trial.steps:
        unmeasured = Prose(lines=["No step was measured."], tone="quiet")
        return Section(title=title, blocks=[unmeasured], rank=DETAIL)
    walls: dict[str, dict[int, float]] = {}
    for kind in ("bare", "bounded", "probed", "metered"):
        walls[kind] = {step.pair: step.wall_s for step in trial.steps if step.kind == kind}
    measured = {kind: times for kind, times in walls.items() if times}
    chart = Chart(
        title="Wall time of each step",
        label="Wall time of each step in order: "
        + ", ".join(
            f"{kind}, median {q.seconds(median(times.values()))}"
            for kind, times in measured.items()
        ),
        plot=_wall_times(measured),
        table=_wall_table(measured, costs),
        remarks=[_kinds_in_words("bare" in measured)],
    )
    return Section(title=title, blocks=[chart], rank=DETAIL)


def _kinds_in_words(bare: bool) -> str:
    if bare:
        first = (
            "Step times are from bare steps: one clock read at each end. Bounded ones have one at "
            "each phase as well, and give phase times"
        )
    else:
        first = "Step and phase times are from bounded steps: a clock read at each phase's ends"
    return first + "; probed ones have marks at timesteps, metered ones CPU clocks."


def _wall_times(walls: dict[str, dict[int, float]]) -> Lines:
    pairs = sorted({pair for times in walls.values() for pair in times})
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
                colour="one" if kind == "bare" else "two" if kind == "probed" else "text",
                points=True,
                y=[times.get(pair) for pair in pairs],
            )
            for kind, times in walls.items()
        ],
    )


def _change(change: Estimate) -> str:
    whole = q.signed_percent(change)
    return whole if change.low is None else f"{whole} ({q.percent_interval(change)})"


def _wall_table(walls: dict[str, dict[int, float]], costs: Sequence[KindCost]) -> Table:
    method = "wall time of single steps"
    added: dict[str, list[Cell]] = {
        cost.kind: [
            cells.number(cost.change, _change),
            cells.number(cost.added, q.signed_time),
        ]
        for cost in costs
    }
    bare = [Cell(text="")] * 2 if added else []
    rows = [
        [
            word(kind),
            word(f"{len(times):,}"),
            *(
                Cell(text=q.seconds(quantile(list(times.values()), at)), method=method)
                for at in (0.0, 0.5, 1.0)
            ),
            *added.get(kind, bare),
        ]
        for kind, times in walls.items()
    ]
    against: list[str | tuple[str, str]] = []
    if added:
        against = [("against bare (95 % interval)", "against bare (95%)"), ("more", "more")]
    columns = heads("kind", "steps", "smallest", "median", "largest", *against)
    return Table(caption="Wall time of a step", columns=columns, rows=rows)
