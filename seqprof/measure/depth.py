"""Sequential depth of a model: record its operations on shapes alone, at several T.

Nothing is computed and no weight is copied: the model's copy lives on the ``meta`` device, whose
tensors have shapes and no memory. Fused recurrent layers have no kernel there, so torch runs them
as their timesteps, one by one.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.analysis.depth import (
    STEP_PHASES,
    OperationGraph,
    cost,
    critical_path,
    hidden_scans,
    run_length,
)
from seqprof.analysis.laws import Law, fit_law
from seqprof.analysis.model_depth import Point, Recorded
from seqprof.errors import SeqprofError
from seqprof.instruments.depth import DepthRecorder
from seqprof.recording import DepthLaw
from seqprof.spec import ModelSpec, Spec, TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.body import Body
from seqprof.workloads.build import build, detach_state
from seqprof.workloads.heads import Loss
from seqprof.workloads.registry import find_family
from seqprof.workloads.step import first_output, forward_callable, make_optimizer
from seqprof.workloads.targets import call_target

#: Runs forward, loss and backward over T timesteps, telling each phase before it begins.
Step = Callable[[int, Callable[[str], None]], None]

#: Lengths from which the law comes: neighbours, powers of two and others, all short.
LAW_LENGTHS = (4, 5, 6, 8, 12, 16, 17, 24, 32, 64, 128)
#: Recorded lengths after which a law that has held from the first on, and grows, needs no more.
_ENOUGH_LENGTHS = 7
#: The law's own lengths go up to this, even where shorter ones are asked for.
_LONGEST_EXTRA = 32
#: Processor seconds that depth may take before it does without further lengths.
RUN_BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on the meta device and how a step of it runs."""

    name: str
    form: str
    model: nn.Module
    step: Step
    batch_size: int
    optimizer: TrainSpec
    notes: tuple[str, ...] = ()
    chunk: int | None = None  # of truncated BPTT


def law_lengths(chunk: int | None) -> list[int]:
    """Lengths from which the law comes; with truncated BPTT whole chunks, as it steps there."""
    return list(LAW_LENGTHS) if chunk is None else [chunk * count for count in (1, 2, 3, 4)]


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` on the meta device without copying its weights even once."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        held = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        for tensor in (*held, *(v for v in vars(module).values() if isinstance(v, Tensor))):
            if id(tensor) not in memo:
                empty = torch.empty_like(tensor, device="meta", requires_grad=False)
                memo[id(tensor)] = (
                    nn.Parameter(empty, requires_grad=tensor.requires_grad)
                    if isinstance(tensor, nn.Parameter)
                    else empty
                )
    return copy.deepcopy(model, memo)


def record(subject: Subject, timesteps: int, *, with_optimizer: bool = False) -> OperationGraph:
    """Run one step over ``timesteps`` on meta tensors and return its graph.

    Raises:
        SeqprofError: the model cannot run on shapes alone.
    """
    recorder = DepthRecorder()

    def enter(phase: str) -> None:
        recorder.phase = phase

    subject.model.zero_grad(set_to_none=True)
    try:
        with torch.device("meta"), recorder:
            subject.step(timesteps, enter)
        if with_optimizer:
            optimizer = make_optimizer(subject.optimizer, subject.model)
            enter("optimizer")
            with recorder:
                optimizer.step()
    except SeqprofError:
        raise
    except Exception as error:
        raise SeqprofError(
            f"{subject.name}: cannot run on shapes alone at T = {timesteps}: {_where(error)}"
            f"{type(error).__name__}: {_first_line(error)}",
            hint="depth runs the model on meta tensors, which have no values: leave out .item(), "
            "`if tensor:` and masks that select; inputs of another shape are set in a config",
        ) from error
    finally:
        subject.model.zero_grad(set_to_none=True)
    return recorder.graph


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _where(error: Exception) -> str:
    """``file.py:12: `` of the innermost line that is neither torch's nor seqprof's own."""
    own = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((own, "<")) and "site-packages" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""


def point(graph: OperationGraph, timesteps: int) -> Point:
    """Return the costs of a recorded step."""
    return Point(
        timesteps=timesteps,
        step=cost(graph),
        forward=cost(graph, ("forward",)),
        backward=cost(graph, ("backward",)),
    )


def record_lengths(
    subject: Subject, lengths: Sequence[int], progress: Callable[[float], None]
) -> tuple[Recorded, OperationGraph]:
    """Record the given lengths and those that the law needs.

    Returns:
        What was found, for the longest of ``lengths``, and the graph of the shortest recorded.
    """
    longest = max(lengths)
    extra = [t for t in law_lengths(subject.chunk) if t <= max(longest, _LONGEST_EXTRA)]
    wanted = sorted({*lengths, *extra})
    smallest = record(subject, wanted[0], with_optimizer=True)
    points = [point(smallest, wanted[0])]
    graph = smallest
    for done, timesteps in enumerate(wanted[1:], start=1):
        if timesteps not in lengths and _is_settled(
            {p.timesteps: p.step.depth_ops for p in points}
        ):
            continue
        recorded = record(subject, timesteps)
        points.append(point(recorded, timesteps))
        if timesteps == longest:
            graph = recorded
        progress(done)
    return (
        Recorded(
            model=subject.name,
            form=subject.form,
            batch_size=subject.batch_size,
            timesteps=longest,
            points=tuple(points),
            optimizer=cost(smallest, ("optimizer",)),
            single=_single(subject),
            hidden_scans=hidden_scans(graph),
            path=run_length([graph.names[n] for n in critical_path(graph)]),
            notes=subject.notes,
        ),
        smallest,
    )


def _is_settled(depth: Mapping[int, int]) -> bool:
    """Whether the law needs no more lengths: it grows with T itself, and enough lengths obey it.

    What looks constant, or logarithmic, may only begin to grow.
    """
    return len(depth) >= _ENOUGH_LENGTHS and "T" in fit_law(depth).coefficients


def _single(subject: Subject) -> Point | None:
    try:
        return point(record(subject, 1), 1)
    except SeqprofError:
        return None


# Subjects: a family, a config, a user's own factory ------------------------------------------


def family_subject(model: ModelSpec, batch_size: int) -> Subject:
    """A family's body alone, on ``[B, T, H]`` numbers, with the sum of its outputs as the loss."""
    family = find_family(str(model.name))
    size = model.input_size or model.hidden_size
    with torch.device("meta"):
        body = family.load_builder()(model, size)
    execution = model.execution or family.default_execution
    notes = _expanded(body)
    return Subject(
        name=f"{family.name}@{execution}" if execution else family.name,
        form=", ".join([*(["expanded"] if notes else []), "sum loss"]),
        model=body,
        step=_sum_step(body, (size,), batch_size),
        batch_size=batch_size,
        optimizer=TrainSpec(),
        notes=notes,
    )


def target_subject(target: str, features: int | None, batch_size: int) -> Subject:
    """A user's own module on ``[B, T, features]`` numbers or ``[B, T]`` tokens, with sum loss."""
    built = call_target(target, Path(), {}, "target")
    if not isinstance(built, nn.Module):
        raise SeqprofError(f"{target} returned a {type(built).__name__}, not an nn.Module")
    model = meta_copy(built)
    inputs = f"[B, T, {features}] numbers" if features else "[B, T] tokens"
    notes = _expanded(model)
    return Subject(
        name=target,
        form=", ".join([inputs, *(["expanded"] if notes else []), "sum loss"]),
        model=model,
        step=_sum_step(model, (features,) if features else (), batch_size),
        batch_size=batch_size,
        optimizer=TrainSpec(),
        notes=notes,
    )


def config_subject(spec: Spec, folder: Path, name: str, batch_size: int | None) -> Subject:
    """The whole model, loss and data of a config."""
    built = build(spec, folder)
    template = next(iter(built.data))
    model = meta_copy(built.model)
    batch = batch_size or template.batch_size
    expanded = _expanded(model)
    notes = [*expanded]
    if template.lengths is not None:
        notes.append("all sequences as long as the longest: padding and packing are left out")
    if spec.train.precision != "fp32":
        notes.append(f"without the casts of {spec.train.precision} autocast")
    if spec.train.accumulate > 1:
        notes.append(f"one of {spec.train.accumulate} micro-batches")
    form = [built.facts.execution, "expanded" if expanded else None, f"loss {spec.train.loss}"]
    return Subject(
        name=name,
        form=", ".join(part for part in form if part),
        model=model,
        step=training_step(
            model, built.loss, spec.train, lambda timesteps: meta_batch(template, batch, timesteps)
        ),
        batch_size=batch,
        optimizer=spec.train,
        notes=tuple(notes),
        chunk=spec.train.bptt.truncate,
    )


def _expanded(model: nn.Module) -> tuple[str, ...]:
    """Name the fused layers that shapes alone run timestep by timestep."""
    kinds = sorted({f"nn.{type(m).__name__}" for m in model.modules() if isinstance(m, nn.RNNBase)})
    if not kinds:
        return ()
    return (
        f"{' and '.join(kinds)}: expanded into the operations of each timestep; on a GPU its "
        "kernels merge some of them, the chain of timesteps stays",
    )


def _sum_step(model: nn.Module, trailing: tuple[int, ...], batch_size: int) -> Step:
    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        dtype = torch.float32 if trailing else torch.int64
        inputs = torch.empty(batch_size, timesteps, *trailing, dtype=dtype, device="meta")
        enter("forward")
        result = model(inputs)
        output = result[0] if isinstance(model, Body) else first_output(result)
        enter("loss")
        loss = output.sum()
        enter("backward")
        loss.backward()

    return step


def training_step(
    model: nn.Module, loss: Loss, train: TrainSpec, batches: Callable[[int], Batch]
) -> Step:
    """A step as ``run`` does it: with truncated BPTT chunk by chunk, the state detached."""
    call = forward_callable(model, train)
    truncate = train.bptt.truncate

    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        batch = batches(timesteps)
        state: Any = None
        size = truncate or timesteps
        for start in range(0, timesteps, size):
            chunk = batch.chunk(start, min(start + size, timesteps))
            enter("forward")
            result = call(chunk, state)
            if truncate is not None:
                output, state = result[0], detach_state(result[1])
            else:
                output = first_output(result)
            enter("loss")
            value = loss(output, chunk)
            enter("backward")
            value.backward()  # type: ignore[no-untyped-call]

    return step


def meta_batch(template: Batch, batch_size: int, timesteps: int) -> Batch:
    """Return a batch without values, of the template's kind, ``batch_size`` by ``timesteps``."""
    inputs, targets = template.inputs, template.targets
    along = (timesteps,) if template.has_target_per_timestep else ()
    kept = targets.shape[1 + len(along) :]
    return Batch(
        torch.empty(batch_size, timesteps, *inputs.shape[2:], dtype=inputs.dtype, device="meta"),
        torch.empty(batch_size, *along, *kept, dtype=targets.dtype, device="meta"),
    )


# What `run` keeps -----------------------------------------------------------------------------


def depth_facts(
    model: nn.Module,
    loss: Loss,
    train: TrainSpec,
    template: Batch,
    timesteps: int,
    lengths: Iterable[int] | None = None,
    budget_s: float = RUN_BUDGET_S,
) -> DepthLaw:
    """Return depth and work at T, by their laws, from a meta copy of ``model``.

    Args:
        template: a batch as the model gets it; its values are not used.
        timesteps: T that depth and work are wanted for.
        lengths: short lengths to record (default: :func:`law_lengths`).
        budget_s: about how much processor time it may take.

    Never raises for what the model does: the reason is in the result.
    """
    chunk = train.bptt.truncate
    if chunk is not None and timesteps <= chunk:
        chunk = None
    if chunk is not None and timesteps % chunk:
        reason = f"T is no multiple of train.bptt.truncate ({chunk}): the law is for whole chunks"
        return DepthLaw(timesteps=timesteps, reason=reason)
    wanted = sorted(lengths or law_lengths(chunk))
    return _facts(model, loss, train, template, [timesteps], wanted, budget_s)[0]


def depth_at_lengths(
    model: nn.Module, loss: Loss, train: TrainSpec, template: Batch, timesteps: Sequence[int]
) -> tuple[DepthLaw, ...]:
    """Return :func:`depth_facts` at each of several T; short lengths are recorded once for all."""
    if train.bptt.truncate is not None:  # T up to one chunk has another law than a longer one
        return tuple(depth_facts(model, loss, train, template, t) for t in timesteps)
    return _facts(model, loss, train, template, timesteps, law_lengths(None), RUN_BUDGET_S)


def _facts(
    model: nn.Module,
    loss: Loss,
    train: TrainSpec,
    template: Batch,
    timesteps: Sequence[int],
    lengths: Sequence[int],
    budget_s: float,
) -> tuple[DepthLaw, ...]:
    try:
        copied = meta_copy(model)
        batch_size = template.batch_size
        step = training_step(copied, loss, train, lambda t: meta_batch(template, batch_size, t))
        subject = Subject("the model", "", copied, step, batch_size, train)
        return _tell(subject, timesteps, lengths, budget_s)
    except Exception as error:
        reason = (
            error.message
            if isinstance(error, SeqprofError)
            else f"{type(error).__name__}: {_first_line(error)}"
        )
        return tuple(DepthLaw(timesteps=t, reason=reason) for t in timesteps)


def _tell(
    subject: Subject, timesteps: Sequence[int], lengths: Sequence[int], budget_s: float
) -> tuple[DepthLaw, ...]:
    """Record the short ``lengths``; those that their law says nothing about as well, if quick."""
    work, depth = {}, {}
    started: float | None = None  # after the first: torch imports parts of itself there

    def add(length: int) -> None:
        found = cost(record(subject, length), STEP_PHASES)
        work[length], depth[length] = found.work_ops, found.depth_ops

    def spent() -> float:
        # Processor time: how busy the machine is must not decide what is found.
        return 0.0 if started is None else time.process_time() - started

    for length in lengths:
        if length > max(timesteps) or spent() > budget_s / 2:
            break  # the next length takes as long as all before it, at most
        add(length)
        started = started or time.process_time()
        if _is_settled(depth):
            break
    law, work_law = fit_law(depth), fit_law(work)
    recorded = sum(depth)
    for length in sorted(set(timesteps) - depth.keys()):
        if law.at(length) is None and spent() * (1 + length / max(1, recorded)) < budget_s:
            add(length)
    return tuple(
        DepthLaw(
            timesteps=t,
            depth_ops=_whole(depth.get(t, law.at(t))),
            work_ops=_whole(work.get(t, work_law.at(t))),
            law=law.text,
            coefficients=law.coefficients,
            lengths=tuple(depth),
            batch_size=subject.batch_size,
            reason=law.reason or _silent(law, t, t in depth),
        )
        for t in timesteps
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else round(count)


def _silent(law: Law, timesteps: int, recorded: bool) -> str | None:
    """Why the law says nothing at this T; None where it does, or where T itself was recorded."""
    if recorded or law.at(timesteps) is not None:
        return None
    if law.powers_of_two_only:
        return f"the law holds at powers of two; recording T = {timesteps} itself takes too long"
    return f"the law holds from T = {law.holds_from} on"
