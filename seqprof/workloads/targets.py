"""The user's own code: ``package.module:name``, found on the path or next to the config file."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from seqprof.errors import SeqprofError
from seqprof.suggest import nearest


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let imports find the modules in ``folder`` first, as those of a script's own folder."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)


def load_target(target: str, folder: Path, key: str) -> Any:
    """Return what ``package.module:name`` names.

    Args:
        target: as in the spec.
        folder: the config file's; its modules are found too.
        key: the spec's key that says so, for messages.

    Raises:
        SeqprofError: there is no such module or name, or importing it fails.
    """
    module_name, _, name = target.partition(":")
    with importable(folder):
        module = _import(module_name, folder, key)
    if not hasattr(module, name):
        raise _no_such_name(module, name, folder, key)
    return getattr(module, name)


def call_target(target: str, folder: Path, kwargs: Mapping[str, Any], key: str) -> Any:
    """Return what ``package.module:name`` returns, called with ``kwargs``.

    Raises:
        SeqprofError: as :func:`load_target`; or it cannot be called, or raised.
    """
    function = load_target(target, folder, key)
    if not callable(function):
        raise SeqprofError(f"{key}: {target} is a {type(function).__name__}, not a function")
    return call(function, target, folder, kwargs, key)


def call(
    function: Callable[..., Any], target: str, folder: Path, kwargs: Mapping[str, Any], key: str
) -> Any:
    """Call the user's ``function``; what it raises becomes a SeqprofError that says where."""
    with importable(folder):
        try:
            return function(**kwargs)
        except SeqprofError:
            raise
        except (Exception, SystemExit) as error:
            raised = _raised(f"{key}: {target} raised", error, folder)
            raised.hint = _arguments_to_give(error, folder, key)
            raise raised from error


def _import(name: str, folder: Path, key: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise _no_such_module(name, folder, key) from None
        raise _raised(f"{key}: importing {name} failed with", error, folder) from error
    except (Exception, SystemExit) as error:
        raise _raised(f"{key}: importing {name} failed with", error, folder) from error


def _no_such_module(name: str, folder: Path, key: str) -> SeqprofError:
    here = [path.stem for path in folder.glob("*.py")]
    here += [path.parent.name for path in folder.glob("*/__init__.py")]
    near = nearest(name.partition(".")[0], here)
    return SeqprofError(
        f"{key}: no module {name!r}, neither installed nor in {folder.resolve()}",
        f"did you mean {near!r}?" if near else "put its .py file there",
    )


def _no_such_name(module: ModuleType, name: str, folder: Path, key: str) -> SeqprofError:
    file = getattr(module, "__file__", None) or "built-in"
    own = (folder / f"{module.__name__.partition('.')[0]}.py").resolve()
    if own.is_file() and Path(file).resolve() != own and "." not in module.__name__:
        return SeqprofError(
            f"{key}: module {module.__name__!r} was loaded from {file}, not from {own}",
            "give your file a name that no other module has",
        )
    near = nearest(name, (known for known in vars(module) if not known.startswith("_")))
    return SeqprofError(
        f"{key}: module {module.__name__!r} ({file}) has no {name!r}",
        f"did you mean {near!r}?" if near else None,
    )


def _raised(what: str, error: BaseException, folder: Path) -> SeqprofError:
    """Word the error, its last line and the place in the user's own code that it came from."""
    last = traceback.format_exception_only(error)[-1].strip()
    place = _place(error, folder)
    return SeqprofError(f"{what} {last}" + (f"\n  at {place}" if place else ""))


def _arguments_to_give(error: BaseException, folder: Path, key: str) -> str | None:
    """Say how to give what the target requires; None where the user's own code raised the error."""
    missing = isinstance(error, TypeError) and "missing" in str(error)
    section, _, last = key.rpartition(".")
    if not missing or last != "target" or _own_frames(error, folder):
        return None
    names = re.findall(r"'(\w+)'", str(error))
    return "as in " + " ".join(f"--set {section}.kwargs.{name}=VALUE" for name in names)


def _own_frames(error: BaseException, folder: Path) -> list[tuple[str, int]]:
    frames = _frames(error.__traceback__)
    return [frame for frame in frames if Path(frame[0]).is_relative_to(folder.resolve())]


def _place(error: BaseException, folder: Path) -> str | None:
    """Return file:line of a syntax error; else of the last frame in ``folder``, or the last one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    for file, line in reversed(_own_frames(error, folder) or list(_frames(error.__traceback__))):
        if not file.startswith("<") and file != __file__:
            return f"{file}:{line}"
    return None


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
