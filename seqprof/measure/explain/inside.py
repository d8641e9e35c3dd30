"""What of `seqprof explain` runs a model outside the workers: each a job for a child process.

Parts are handed over as they come, so that a model that ends its process costs what it was at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import torch

from seqprof.analysis.explain.facts import Cascade, Subjected
from seqprof.errors import SeqprofError
from seqprof.instruments.torch_bridge import kernel_activity
from seqprof.measure.aside import Teller
from seqprof.measure.device import choose_device
from seqprof.measure.explain.cascade import time_cascade
from seqprof.measure.explain.graphs import look_into
from seqprof.measure.explain.parts import Begun, Found, Marked
from seqprof.measure.explain.plan import SPENT, ExplainPlan
from seqprof.measure.run import RunConductor
from seqprof.measure.trial.kernel_latency import assume
from seqprof.spec import Spec
from seqprof.workloads.build import build


def look_into_all(
    plan: ExplainPlan, candidates: Sequence[int], in_time: Callable[[], bool], tell: Teller
) -> None:
    """Build the candidates, then record the graph of each and change its inputs.

    Args:
        candidates: their indices; the graphs of all but the first are left out when it is late,
            unless that is another candidate's fault.

    Raises:
        SeqprofError: one cannot be built.
    """
    measure = plan.contenders[0].spec.measure
    choose_device(measure.device)
    if isinstance(measure.threads, int):  # the workers import torch meanwhile
        torch.set_num_threads(measure.threads)
    import_module("torch._dynamo")  # the first optimizer's: so it is no candidate's time
    assumptions = assume()
    tell.hand(assumptions)
    for index in candidates:
        contender = plan.contenders[index]
        tell.hand(Begun(index, building=True))
        try:
            build(contender.spec, contender.folder)
        except SeqprofError as error:
            message = f"{contender.label}: {error.message}"
            raise SeqprofError(message, error.hint, error.exit_code) from error
    for index in candidates:
        contender = plan.contenders[index]
        if index and not in_time():
            tell.hand(Found(index, Subjected(label=contender.label, depth_reason=SPENT)))
            continue
        tell.hand(Begun(index))
        tell.stage(f"recording the operations of {contender.label}", None)
        overrides = None if plan.based else plan.overrides
        tell.hand(Found(index, look_into(contender, plan.words[index], assumptions, overrides)))


def measure_marked(spec: Spec, folder: Path, command: str, tell: Teller) -> Marked:
    """Run a model with its timesteps marked, as `run` does, then time those of single steps.

    Idle is told from the kernels' timeline where there is one, which takes less time than dwells.
    """
    try:
        device = choose_device(spec.measure.device)
        dwells = kernel_activity(device) is None
        conductor = RunConductor(
            spec, folder, command, tell, None, with_depth=False, with_dwells=dwells
        )
        conductor.measure()
        run = conductor.recording()
        reason = None if run is not None else conductor.nothing_measured().message
        ended = max(0, conductor.exit_code - 128)
        made = Marked(run, reason, Cascade(reason="ended before it"), ended)
        tell.hand(made)
        if ended:
            return made
        tell.stage("timing single timesteps", None)
        return Marked(run, reason, time_cascade(spec, folder, device, run))
    except SeqprofError as error:
        return Marked(None, error.message, Cascade(reason=error.message))
