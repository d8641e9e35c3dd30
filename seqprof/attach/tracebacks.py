"""An exception of the script is shown with the traceback that it would have without us.

Where it is shown differs: the hooks of uncaught exceptions, of the main thread and of others, and
the module ``traceback`` for what a script catches and prints or logs.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


def hide_own_frames() -> None:
    """Have whatever shows an exception leave out our frames.

    It is installed when an exception passes through us, and not before: until then the script sees
    what it would see without us.
    """
    if getattr(sys.excepthook, "__module__", None) != __name__:
        sys.excepthook = _without_frames(sys.excepthook)
    if getattr(threading.excepthook, "__module__", None) != __name__:
        threading.excepthook = _in_thread(threading.excepthook)
    constructor = traceback.TracebackException.__init__
    if getattr(constructor, "__globals__", None) is not globals():
        setattr(traceback.TracebackException, "__init__", _formatting(constructor))  # noqa: B010


def _without_frames(previous: Any) -> Any:
    def seqprof_excepthook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> Any:
        _clean(error, set())
        return previous(kind, error, without_own(traceback))

    return seqprof_excepthook


def _in_thread(previous: Any) -> Any:
    def seqprof_excepthook(raised: Any) -> Any:
        _clean(raised.exc_value, set())
        without_own(raised.exc_traceback)
        return previous(raised)

    return seqprof_excepthook


def _formatting(original: Any) -> Any:
    @functools.wraps(original)
    def __init__(  # noqa: N807
        self: Any, exc_type: Any, exc_value: Any, exc_traceback: Any, **options: Any
    ) -> None:
        _clean(exc_value, set())
        original(self, exc_type, exc_value, without_own(exc_traceback), **options)

    return __init__


def without_own(traceback: TracebackType | None) -> TracebackType | None:
    """Return ``traceback`` without the frames of this package."""
    while traceback is not None and _is_own(traceback):
        traceback = traceback.tb_next
    at = traceback
    while at is not None:
        while at.tb_next is not None and _is_own(at.tb_next):
            at.tb_next = at.tb_next.tb_next
        at = at.tb_next
    return traceback


def _is_own(traceback: TracebackType) -> bool:
    return traceback.tb_frame.f_code.co_filename.startswith(_OWN)


def _clean(error: BaseException | None, seen: set[int]) -> None:
    """Take our frames out of an exception and of what it came from."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = without_own(error.__traceback__)
    _clean(error.__cause__, seen)
    _clean(error.__context__, seen)
