"""Wait for the script to import torch. Standard library only, loaded by path.

``importlib`` asks the finders of ``sys.meta_path`` in turn. One of ours stands first; for ``torch``
it takes the spec that the others find and lets the agent start when that module has been executed.
It answers for ``seqprof`` as well, so that the agent is the one that started the script and not
another version that happens to be installed beside it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Finder:
    """Finds ``seqprof`` in its folder, and ``torch`` where the others find it."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "seqprof":
            return importlib.util.spec_from_file_location(
                name,
                os.path.join(self._package, "__init__.py"),
                submodule_search_locations=[self._package],
            )
        if name == "torch":
            return self._watched(name, path, target)
        return None

    def _watched(self, name: str, path: Any, target: Any) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                _after_execution(spec)
                return spec
        return None


def _after_execution(spec: ModuleSpec) -> None:
    """Start the agent when the module of ``spec`` has been executed, and leave no trace of it."""
    loader: Any = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module  # the class's own shows again
        execute(module)
        start()

    try:
        loader.exec_module = exec_module
    except AttributeError:
        report("torch's loader cannot be watched")


def start() -> None:
    """Start the agent; torch is there."""
    try:
        from seqprof.attach.agent import attach_from_environment

        attach_from_environment()
    except Exception as error:
        report(repr(error))


def report(what: str) -> None:
    """Say on stderr that nothing is measured; the script goes on."""
    print(f"seqprof: cannot watch this process: {what}", file=sys.stderr)


def wait_for_torch(package: str) -> None:
    """Install the finder. ``package`` is the folder of ``seqprof``."""
    sys.meta_path.insert(0, _Finder(package))
