"""What `exec` shows on a terminal while the script runs: a line, or a view with the timesteps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.live import Live
from rich.text import Text

from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.marks import SIDES, Side, blocks
from seqprof.analysis.loop.phases import PhaseTime
from seqprof.attach.outside.progress import LoopProgress
from seqprof.reports.quantities import sparkline

_NS = 1e-9
_NAMES: dict[Side, str] = {"forward": "forward", "backward": "BPTT"}
#: Most characters of a row of timesteps, and passes over which its medians are.
_WIDTH, _PASSES = 48, 16

Steps = Sequence[tuple[Iteration, dict[str, PhaseTime]]]


class LiveView:
    """Shows how far a script has come, on standard error; nothing where that is no terminal.

    It is redrawn when the starting process looks at the agent's files, twice a second, and from
    these alone: nothing of it runs in the script's process.

    Args:
        steps: iterations in all.
        timesteps: show the newest latencies of the timesteps below the line.
    """

    def __init__(self, steps: int, *, timesteps: bool) -> None:
        self._steps = steps
        self._timesteps = timesteps
        self._live: Live | None = None
        self._complete: Path | None = None  # the log of a window that is over

    def show(self, progress: LoopProgress) -> None:
        """Draw it anew."""
        if self._live is None:
            console = Console(file=sys.stderr, force_terminal=True)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        if self._complete == progress.path:
            return
        self._complete = progress.path if progress.complete else None
        rows = timestep_rows(progress) if self._timesteps and not progress.complete else []
        text = "\n".join([f"seqprof: {line(progress, self._steps)}", *rows])
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()


def line(progress: LoopProgress, steps: int) -> str:
    """As in: step 40 of 104 · 12.1 ms · 84,628 tokens/s · forward 31%, backward 60% · …"""
    if progress.complete:
        return "the window is complete; the script goes on"
    measured = progress.steps()
    figures = _figures(measured) if measured else ()
    idle = _idle_cores(measured, progress.fact("process"))
    return " · ".join([f"step {progress.iterations} of {steps}", *figures, *idle])


def _figures(steps: Steps) -> Iterator[str]:
    walls = [sum(time.wall_ns for time in phases.values()) for _, phases in steps]
    yield f"{median(walls) * 1e-6:.3g} ms"
    tokens = [sum(t * b for t, b in iteration.sizes) for iteration, _ in steps]
    if all(tokens):
        yield f"{sum(tokens) / (sum(walls) * _NS):,.0f} tokens/s"
    spent = {
        name: sum(phases[name].wall_ns for _, phases in steps if name in phases)
        for name in ("forward", "backward")
    }
    shares = [f"{name} {ns / sum(walls):.0%}" for name, ns in spent.items() if ns]
    if shares:
        yield ", ".join(shares)


def _idle_cores(steps: Steps, process: dict[str, object] | None) -> Iterator[str]:
    """Idle share of the threads' time, from the steps whose CPU time was read."""
    if process is None or process["device"] != {"kind": "cpu"}:
        return
    metered = [p for _, ps in steps for p in ps.values() if all(t.cpu_ns for t in ps.values())]
    wall = sum(time.wall_ns for time in metered) * int(str(process["threads"]))
    if wall:
        yield f"cores idle {1 - sum(time.cpu_ns or 0 for time in metered) / wall:.0%}"


def timestep_rows(progress: LoopProgress) -> list[str]:
    """A row over the timesteps, forward and BPTT: medians over the newest steps with marks."""
    path, loop = progress.path.with_suffix(".marks"), progress.fact("loop")
    if loop is None or not path.exists():
        return []
    marked = [block for block in blocks(path.read_bytes()) if block.loop == loop["number"]]
    newest = [block for block in marked if len(block.entries) == len(marked[-1].entries)][-_PASSES:]
    rows = []
    for side in SIDES:
        passes = [block.seconds(side, loop["per_timestep"]) for block in newest]
        known = [median(seen) for seen in map(_known, zip(*passes, strict=True)) if seen]
        if known:
            row = sparkline(_narrowed(known, _WIDTH))
            rows.append(f"  {_NAMES[side]:8}{row} {median(known) * 1e6:.3g} µs a timestep")
    return rows


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _narrowed(values: Sequence[float], width: int) -> list[float]:
    """Means over equal parts, so many as there is room for."""
    columns = min(width, len(values))
    starts = [index * len(values) // columns for index in range(columns + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(starts)]
