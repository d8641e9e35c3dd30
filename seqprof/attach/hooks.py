"""The places of torch where the steps of a loop can be seen, and what is put there.

Each wrapper stamps what begins and what has ended, and passes everything on: arguments, results and
exceptions. They lie in every step of somebody else's program, so each does first, and in its own
body, what it does in most calls of a bounded step: two looks at the clock and one record. What is
to be done besides (the session is *attentive*) stands after that. Where torch.compile might trace
one, it asks for that before the clock, which cannot be traced. After the window all are taken out;
a reference that the script took meanwhile (``from torch.autograd import grad``) then passes on.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import torch
from torch import is_grad_enabled, nn
from torch.compiler import is_dynamo_compiling

from seqprof.analysis.loop.kinds import Flag, Kind, pack
from seqprof.attach.callees import Callee
from seqprof.attach.patches import Patches
from seqprof.attach.session import Session
from seqprof.attach.tracebacks import hide_own_frames

Call = Callable[..., Any]
Wrapper = Callable[[Call], Call]

_KEY = 24
_FETCH_IN, _FETCH_OUT = int(Kind.FETCH_IN), int(Kind.FETCH_OUT)
_EXHAUSTED = pack(Kind.FETCH_OUT, Flag.EXHAUSTED)
_BACKWARD_OUT = int(Kind.BACKWARD_OUT)
_OPTIMIZER_IN, _OPTIMIZER_OUT = int(Kind.OPTIMIZER_IN), int(Kind.OPTIMIZER_OUT)


def install(session: Session, patches: Patches) -> None:
    """Put the hooks that every loop needs; roots get theirs when they are known."""
    from torch.utils.data import dataloader

    patches.put(dataloader._BaseDataLoaderIter, "__next__", _fetching(session))
    patches.put(torch.Tensor, "backward", _differentiating(session, 0))  # calls the next one
    patches.put(torch.autograd, "backward", _differentiating(session, 0))
    patches.put(torch.autograd, "grad", _differentiating(session, int(Flag.FUNCTIONAL)))
    optimizer = torch.optim.Optimizer
    patches.put(optimizer, "__init__", _constructing(session, patches))
    patches.put(optimizer, "zero_grad", _stamping(session, Kind.ZERO_GRAD_IN))
    patches.put(nn.Module, "zero_grad", _stamping(session, Kind.ZERO_GRAD_IN))
    patches.put(torch.autocast, "__init__", _stamping(session, Kind.AUTOCAST_IN))
    patches.put(torch.autocast, "__enter__", _stamping(session, Kind.AUTOCAST_IN))
    scaler = torch.amp.GradScaler
    patches.put(scaler, "scale", _stamping(session, Kind.SCALE_IN))
    patches.put(scaler, "step", _scaling(session, 0))
    patches.put(scaler, "update", _scaling(session, int(Flag.UPDATE)))
    patches.put(scaler, "unscale_", _scaling(session, int(Flag.UNSCALE)))


class OptimizerHooks:
    """torch's own global hooks of every optimizer's ``step``.

    They see the steps of optimizers that were made, and whose ``step`` a scheduler has kept, before
    the classes could be watched; those that are seen already are left to :func:`watch_optimizer`.
    """

    def __init__(self, session: Session) -> None:
        from torch.optim import optimizer

        self._session = session
        self._open: set[int] = set()
        self._handles = [
            optimizer.register_optimizer_step_pre_hook(self._before),
            optimizer.register_optimizer_step_post_hook(self._after),
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        session = self._session
        if id(optimizer) not in session.stepping and session.on:
            key = session.keys.get(id(optimizer)) or session.new_optimizer(optimizer)
            session.enter(_OPTIMIZER_IN | key << _KEY, perf_counter_ns())
            self._open.add(id(optimizer))

    def _after(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        session = self._session
        if id(optimizer) in self._open and session.on:
            self._open.discard(id(optimizer))
            key = session.keys.get(id(optimizer), 0)
            session.after_optimizer(key)
            session.leave(_OPTIMIZER_OUT | key << _KEY)


def watch_optimizer(session: Session, patches: Patches, optimizer: Any) -> None:
    """Put a hook around ``step`` of an optimizer's class, once.

    torch's own hooks of a step lie further inside, and are not called when it raises.
    """
    kind = type(optimizer)
    if kind not in session.optimizer_classes:
        session.optimizer_classes.add(kind)
        patches.put(kind, "step", _stepping(session))


def _fetching(session: Session) -> Wrapper:
    span, enter, leave, keys = session.span, session.enter, session.leave, session.keys
    loaders = session.loaders

    def make(original: Call) -> Call:
        def __next__(iterator: Any) -> Any:  # noqa: N807
            now = perf_counter_ns()
            if not session.on:
                return original(iterator)
            key = keys.get(id(iterator._index_sampler)) or session.new_loader(iterator)
            code = _FETCH_IN | key << _KEY
            whole = key in loaders and session.fetches_plainly()
            if not whole:
                enter(code, now)
                session.at_fetch(key)
            try:
                batch = original(iterator)
            except StopIteration:
                if whole:
                    enter(code, now)
                leave(_EXHAUSTED)
                session.fetches.end()
                raise
            except BaseException:
                if whole:
                    enter(code, now)
                session.left(_FETCH_OUT)
                raise
            if whole:
                span(code, now)
            else:
                leave(_FETCH_OUT)
            return batch

        return __next__

    return make


def _differentiating(session: Session, flags: int) -> Wrapper:
    span, code = session.span, pack(Kind.BACKWARD_IN, flags)

    def make(original: Call) -> Call:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling() or session.inside_backward or not session.on:
                return original(*args, **kwargs)
            now = perf_counter_ns()
            session.inside_backward = True
            if session.attentive:
                return _attentive_backward(session, original, code, now, args, kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                session.inside_backward = False
                session.broken(code, now)
                raise
            session.inside_backward = False
            span(code, now)
            return result

        return wrapper

    return make


def _attentive_backward(
    session: Session, original: Call, code: int, now: int, args: Any, kwargs: Any
) -> Any:
    session.enter(code, now)
    session.at_backward((args[:1], kwargs))
    try:
        result = original(*args, **kwargs)
    except BaseException:
        session.inside_backward = False
        session.left(_BACKWARD_OUT)
        raise
    session.inside_backward = False
    if session.attentive:
        session.after_backward()
    session.leave(_BACKWARD_OUT)
    return result


def _constructing(session: Session, patches: Patches) -> Wrapper:
    def make(original: Call) -> Call:
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            try:
                original(optimizer, *args, **kwargs)
            except BaseException:
                hide_own_frames()
                raise
            if session.on:
                session.made.add(optimizer)
                session.at_new_optimizer()
                watch_optimizer(session, patches, optimizer)

        return __init__

    return make


def _stepping(session: Session) -> Wrapper:
    span, keys, active = session.span, session.keys, session.stepping

    def make(original: Call) -> Call:
        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling():
                return original(optimizer, *args, **kwargs)
            now = perf_counter_ns()
            ident = id(optimizer)
            if ident in active or not session.on:
                return original(optimizer, *args, **kwargs)
            key = keys.get(ident) or session.new_optimizer(optimizer)
            code = _OPTIMIZER_IN | key << _KEY
            active.add(ident)
            if session.attentive:
                return _attentive_step(session, original, code, now, optimizer, args, kwargs)
            try:
                result = original(optimizer, *args, **kwargs)
            except BaseException:
                active.discard(ident)
                session.broken(code, now)
                raise
            active.discard(ident)
            if active:
                span(code, now)
            elif key == session.plain_end:
                session.updated = session.attentive = True
                span(code, now)
            else:
                session.end_optimizer(key, code, now)
            return result

        return step

    return make


def _attentive_step(
    session: Session, original: Call, code: int, now: int, optimizer: Any, args: Any, kwargs: Any
) -> Any:
    session.enter(code, now)
    if session.counting is not None:
        session.counting.begin("optimizer")
    try:
        result = original(optimizer, *args, **kwargs)
    except BaseException:
        session.stepping.discard(id(optimizer))
        session.left(code + 1)
        raise
    session.stepping.discard(id(optimizer))
    if session.counting is not None:
        session.counting.end("optimizer")
    if not session.stepping:
        session.after_optimizer(code >> _KEY)
    session.leave(code + 1)
    return result


def _stamping(session: Session, kind: Kind) -> Wrapper:
    """Wrapper of what needs no more than its two stamps."""
    span, enter, leave = session.span, session.enter, session.leave
    code, out = int(kind), int(kind) + 1

    def make(original: Call) -> Call:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling() or session.inside_root or not session.on:
                return original(*args, **kwargs)
            now = perf_counter_ns()
            whole = not session.attentive
            if not whole:
                enter(code, now)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                if whole:
                    session.broken(code, now)
                else:
                    session.left(out)
                raise
            if whole:
                span(code, now)
            else:
                leave(out)
            return result

        return wrapper

    return make


def _scaling(session: Session, flags: int) -> Wrapper:
    enter, leave = session.enter, session.leave

    def make(original: Call) -> Call:
        def method(scaler: Any, *args: Any, **kwargs: Any) -> Any:
            now = perf_counter_ns()
            if not session.on or not scaler._enabled:
                return original(scaler, *args, **kwargs)
            key = session.optimizer_key(args, kwargs, flags)
            enter(pack(Kind.SCALER_IN, flags, key=key), now)
            try:
                result = original(scaler, *args, **kwargs)
            except BaseException:
                session.left(pack(Kind.SCALER_OUT, flags))
                raise
            if flags & Flag.UPDATE:
                session.update()
            leave(pack(Kind.SCALER_OUT, flags))
            return result

        return method

    return make


def calling_root(session: Session) -> Wrapper:
    """Wrapper of ``__call__`` for the class of a root or a criterion."""
    span, enter, known = session.span, session.enter, session.callees

    def make(original: Call) -> Call:
        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            if is_dynamo_compiling() or session.inside_root:
                return original(module, *args, **kwargs)
            now = perf_counter_ns()
            if session.inside_backward or not session.on:
                return original(module, *args, **kwargs)
            callee = known.get(id(module)) or session.adopt(module)
            if callee is None:
                return original(module, *args, **kwargs)
            session.inside_root = True
            grad = is_grad_enabled()
            code = callee.codes[2 * grad + module.training]
            if session.attentive:
                enter(code, now)
                return _attentive_call(session, original, callee, module, args, kwargs)
            if callee.attentive:
                callee.tell_sizes(args, kwargs, grad)
            try:
                result = original(module, *args, **kwargs)
            except BaseException:
                session.inside_root = False
                session.broken(code, now)
                raise
            session.inside_root = False
            span(code, now)
            return result

        return __call__

    return make


def _attentive_call(
    session: Session, original: Call, callee: Callee, module: Any, args: Any, kwargs: Any
) -> Any:
    grad = is_grad_enabled()
    callee.begin(module, args, kwargs, grad)
    try:
        result = original(module, *args, **kwargs)
    except BaseException:
        session.inside_root = False
        session.left(callee.out)
        raise
    session.inside_root = False
    if session.attentive:
        callee.finish()
    session.leave(callee.out)
    return result


def exploring(session: Session) -> Wrapper:
    """Wrapper of ``nn.Module.__call__`` for the iterations in which the loop is explored."""

    def make(original: Call) -> Call:
        watched = calling_root(session)(original)

        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            explorer = session.explorer
            if is_dynamo_compiling() or explorer is None or not session.on:
                return original(module, *args, **kwargs)
            return explorer.call(original, watched, module, args, kwargs)

        return __call__

    return make
