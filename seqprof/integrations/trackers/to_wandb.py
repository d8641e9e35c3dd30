"""Weights & Biases: one of its runs for each result; WANDB_MODE=offline keeps it on disk."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from seqprof.integrations.trackers.entries import Entries

DEFAULT_PROJECT = "seqprof"


def log(logged: Entries, where: str | None) -> str:
    """Log ``logged`` to the project ``where``, else to that of WANDB_PROJECT."""
    wandb: Any = import_module("wandb")
    run = wandb.init(
        project=where or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        name=logged.title,
        job_type="seqprof",
        config=logged.parameters,
        notes=logged.notes,
        # Its own messages go to stdout too, where `--json` promises nothing but the document.
        settings=wandb.Settings(silent=True, console="off"),
    )
    try:
        _log(run, logged)
        place = f"{run.dir}; `wandb sync` sends it" if run.offline else run.url
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()
    return str(place)


def _log(run: Any, logged: Entries) -> None:
    run.log({_key(name): value for name, value in logged.scalars.items()})
    for axis in ("timestep", "seq_len"):
        series = {
            _key(name): dict(points)
            for name, points in logged.series.items()
            if (axis == "timestep") == name.startswith("timestep_")
        }
        for name in series:
            run.define_metric(name, step_metric=axis)
        for x in sorted({x for points in series.values() for x in points}):
            run.log({axis: x, **{name: at[x] for name, at in series.items() if x in at}})


def _key(name: str) -> str:
    """Return the name without dots, which would be read as keys within keys."""
    return name.replace(".", "/")
