"""Find the submodules that a model calls once per timestep.

One forward is run with enter/exit hooks on every submodule. A submodule is a *timestep module*
when it is called as often as the sequence is long; of nested ones the outermost counts, and of
several that take turns (``a b a b …``) the first, because the span from one of its calls to the
next holds the whole timestep.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from seqprof.errors import SeqprofError


@dataclass(frozen=True, slots=True)
class Loop:
    """A submodule called once per timestep, or once per timestep of one direction.

    Attributes:
        path: dotted path below the model.
        module: the submodule.
        calls: how often one forward calls it.
        reverse: whether call i handles timestep ``calls - 1 - i``.
    """

    path: str
    module: nn.Module = field(repr=False)
    calls: int
    reverse: bool = False


@dataclass(slots=True)
class _Calls:
    """When a submodule was entered, and whether a call of it ever lay inside another's."""

    path: str
    module: nn.Module
    entered: list[int] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)


def trace_calls(model: nn.Module, forward: Callable[[], object]) -> dict[str, _Calls]:
    """Run ``forward`` once and return the calls of every submodule, by path."""
    seen: dict[str, _Calls] = {}
    stack: list[str] = []
    order = 0
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        calls = seen.setdefault(path, _Calls(path, module))

        def enter(_module: nn.Module, _args: Any) -> None:
            nonlocal order
            calls.entered.append(order)
            calls.inside.update(stack)
            order += 1
            stack.append(path)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            stack.pop()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))

    for path, module in model.named_modules():
        if path:
            watch(path, module)
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return {path: calls for path, calls in seen.items() if calls.entered}


def find_loops(
    model: nn.Module, forward: Callable[[int], object], lengths: list[int]
) -> list[Loop]:
    """Return the timestep modules, in the order in which the forward calls them.

    Args:
        forward: runs the model's forward over that many timesteps.
        lengths: sequence lengths to try, the full one first. A module must follow each of them;
            a second length tells a loop over timesteps from a module that is called T times by
            coincidence.
    """
    if lengths[0] < 2:
        return []
    traces = [(length, trace_calls(model, partial(forward, length))) for length in lengths]
    full = traces[0][1]
    following = {
        path
        for path in full
        if all(path in trace and len(trace[path].entered) == n for n, trace in traces)
    }
    outermost = [c for path, c in full.items() if path in following and not c.inside & following]
    loops: list[Loop] = []
    last_call = -1
    for calls in sorted(outermost, key=lambda c: c.entered[0]):
        if calls.entered[0] > last_call:  # otherwise it takes turns with the one before
            loops.append(Loop(calls.path, calls.module, lengths[0]))
            last_call = calls.entered[-1]
    return loops


def named_loop(model: nn.Module, path: str, forward: Callable[[], object]) -> Loop:
    """Return the loop over the submodule that the user named.

    Raises:
        SeqprofError: there is no such submodule, or one forward calls it less than twice.
    """
    modules = dict(model.named_modules())
    if path not in modules or not path:
        near = difflib.get_close_matches(path, [name for name in modules if name], n=3)
        raise SeqprofError(
            f"measure.timesteps.module: the model has no submodule '{path}'",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    calls = trace_calls(model, forward).get(path)
    count = len(calls.entered) if calls else 0
    if count < 2:
        raise SeqprofError(
            f"measure.timesteps.module: one forward calls '{path}' {count} times, "
            "so it bounds no timesteps",
            hint="name a submodule that is called once per timestep, or leave the key out",
        )
    return Loop(path, modules[path], count)
