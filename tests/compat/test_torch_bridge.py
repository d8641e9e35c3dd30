"""What differs between torch versions is used in one file only, and that file copes without it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seqprof.instruments import torch_bridge

pytestmark = pytest.mark.compat

PACKAGE = Path(torch_bridge.__file__).parents[1]
BRIDGE = Path(torch_bridge.__file__)
#: Names of which some supported version lacks one, or means another thing by it.
ONLY_IN_THE_BRIDGE = ("torch.accelerator", "torch.Event", "ProfilerActivity", "torch.cuda.Event")
#: What every supported version has.
EVERYWHERE = ("ProfilerActivity.CPU",)


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def evaluated(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the attributes that run; annotations are only text (`from __future__`)."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.Attribute):
                yield node
            if isinstance(node, ast.AST):
                yield from evaluated(node)


def test_no_other_file_uses_what_some_torch_lacks() -> None:
    used = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {dotted(node)}"
        for path in PACKAGE.rglob("*.py")
        if path != BRIDGE
        for node in evaluated(ast.parse(path.read_text()))
        if dotted(node).startswith(ONLY_IN_THE_BRIDGE) and not dotted(node).startswith(EVERYWHERE)
    ]
    assert not used, "\n".join(used)


def test_it_works_without_what_this_torch_has_too() -> None:
    """As on torch 2.4, in a process that forgets `torch.accelerator` before seqprof is imported."""
    code = (
        "import torch, sys\n"
        "vars(torch).pop('accelerator', None); sys.modules.pop('torch.accelerator', None)\n"
        "from seqprof.instruments import torch_bridge as bridge\n"
        "from seqprof.instruments.memory import release\n"
        "seen = torch.cuda.is_available() or torch.xpu.is_available()\n"
        "assert (bridge.current_accelerator() is not None) == seen\n"
        "assert (bridge.device_count() > 0) == seen\n"
        "from seqprof.measure.device import choose_device\n"
        "assert choose_device('auto').type == ('cpu' if not seen else choose_device('auto').type)\n"
        "release(torch.device('cpu'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_device_lacks_is_a_reason_and_no_crash() -> None:
    with pytest.raises(NotImplementedError, match=r"^torch \S+ has no no_such_number for cpu$"):
        torch_bridge._memory(torch.device("cpu"), "no_such_number")
    assert torch_bridge.kernel_activity(torch.device("cpu")) is None
