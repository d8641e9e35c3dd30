"""``train.compile``: try ``torch.compile`` in a process of its own before trusting it.

torch.compile can fail or hang on recurrences. A process can be given up on; a hung compilation in
this one could not. What the trial compiled is in torch's on-disk cache when this process compiles.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from seqprof.recording import CompileFacts, Incident
from seqprof.spec import Spec
from seqprof.workloads.build import Built, SequenceModel, build
from seqprof.workloads.step import TrainingStep

#: How much of a failed trial's error is kept.
_REASON_LENGTH = 300
#: Most reasons of graph breaks and recompilations that are kept.
_MOST_REASONS = 6


def compile_model(built: Built, spec: Spec) -> None:
    """Make the model's next calls go through ``torch.compile``; nothing is compiled yet."""
    model = built.model
    if spec.train.bptt.truncate is not None and isinstance(model, SequenceModel):
        object.__setattr__(model, "forward_with_state", torch.compile(model.forward_with_state))
    else:
        model.compile()


def forget_compilations() -> None:
    """Begin to count what Dynamo does."""
    with contextlib.suppress(Exception):  # Dynamo's counters are its own, and change
        from torch._dynamo import utils

        utils.counters.clear()
        utils.clear_compilation_metrics()


def compile_facts() -> CompileFacts | None:
    """Return what Dynamo has done since; None where its counters cannot be read."""
    try:
        from torch._dynamo import utils

        stats, breaks = utils.counters["stats"], utils.counters["graph_break"]
        made = utils.get_compilation_metrics()
        again = [one.recompile_reason for one in made if one.recompile_reason]
        spent = [one.entire_frame_compile_time_s for one in made]
        known = [seconds for seconds in spent if seconds is not None]
        return CompileFacts(
            graphs=int(stats["unique_graphs"]),
            operations=int(stats["calls_captured"]),
            graph_breaks=sum(breaks.values()),
            recompilations=len(again),
            seconds=sum(known) if known else None,
            reasons=tuple(str(why).splitlines()[0] for why in [*breaks, *again][:_MOST_REASONS]),
        )
    except Exception:  # likewise
        return None


def try_compile(spec: Spec, folder: Path, device: torch.device) -> Incident | None:
    """Compile and run one step in a subprocess; returns what went wrong, or ``None``."""
    request = json.dumps(
        {"spec": spec.model_dump(mode="json"), "folder": str(folder), "device": str(device)}
    )
    trial = subprocess.Popen(
        [sys.executable, "-m", "seqprof.measure.trial.compiling"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the compiler's own children can be ended with it
    )
    try:
        _, errors = trial.communicate(request, timeout=spec.train.compile_timeout_s)
    except subprocess.TimeoutExpired:
        _end_group(trial)
        return Incident(
            kind="compile_timeout",
            detail=f"torch.compile was not done after {spec.train.compile_timeout_s:g} s",
        )
    except BaseException:
        _end_group(trial)
        raise
    if trial.returncode == 0:
        return None
    return Incident(kind="compile_failed", detail=_last_error(errors))


def _end_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _last_error(text: str) -> str:
    """The line of a traceback that names the error."""
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "\t"))]
    named = [line for line in lines if "Error" in line or "Exception" in line]
    return (named or lines or ["the trial ended without a word"])[-1][:_REASON_LENGTH]


def _trial() -> None:
    request = json.load(sys.stdin)
    spec = Spec.model_validate(request["spec"])
    device = torch.device(request["device"])
    built = build(spec, Path(request["folder"]))
    built.model.to(device)
    compile_model(built, spec)
    TrainingStep(built, spec, device).run()


if __name__ == "__main__":
    _trial()
