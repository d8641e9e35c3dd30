"""A copy of the program with something added, as the documentation says how."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class SourceCopy:
    """The package in a folder of its own, to which files and entries can be added."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        """Add a file; ``path`` begins with ``seqprof/``."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def insert(self, path: str, text: str, *, before: str) -> None:
        """Insert lines before the one that reads ``before``, which must be there once."""
        target = self.folder / path
        old = target.read_text(encoding="utf-8")
        assert old.count(before) == 1, (path, before)
        target.write_text(old.replace(before, text + before), encoding="utf-8")

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the copy as `seqprof`."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **env},
            capture_output=True,
            text=True,
            check=False,
        )


def copy_source(folder: Path) -> SourceCopy:
    """Copy the package."""
    shutil.copytree(ROOT / "seqprof", folder / "seqprof", ignore=shutil.ignore_patterns("*.pyc"))
    return SourceCopy(folder)


def example(section: str) -> list[str]:
    """Return the fenced Python blocks of a section of docs/extending.md."""
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    fences = re.findall(r"^( *)```python\n(.*?)^ *```", body, re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{margin}", "", text, flags=re.MULTILINE) for margin, text in fences]
