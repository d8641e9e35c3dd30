"""`seqprof list` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import seqprof

from seqprof.workloads.registry import families


@pytest.mark.parametrize("columns", ["80", "120"])
def test_every_family_is_listed_whole(columns: str) -> None:
    done = seqprof("list", env={**os.environ, "COLUMNS": columns})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert all(len(line) <= int(columns) for line in lines)
    assert "…" not in done.stdout
    words = done.stdout.split()
    for family in families().values():
        assert set(family.recurrence.split()) <= set(words)
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{family.name} "))
        rows = lines[start : start + len(family.growth)]
        assert len(rows) >= max(1, len(family.executions))
        for row, growth in zip(rows, family.growth, strict=True):
            told = f"{growth.form} {growth.parallel} {growth.depth} {growth.work}".split()
            assert [word for word in row.split() if word != "*"][-len(told) :] == told
        starred = [row for row in rows if "*" in row.split()]
        assert len(starred) == (len(rows) > 1)
        assert all(f" {family.default_execution} *" in row for row in starred)


def test_listing_imports_no_torch() -> None:
    code = "import sys; from seqprof.cli.commands.listing import list_families; list_families()"
    code += "; assert not {'torch', 'numpy', 'scipy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
