"""The documentation as a site: it builds without a warning, and its reference has every command."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from seqprof.cli.app import command_names

ROOT = Path(__file__).parents[1]


def test_every_page_is_reached_from_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert not [page for page in sorted(pages) if f": {page}\n" not in menu]


def test_the_reference_is_made_from_the_commands() -> None:
    made = subprocess.run(
        [sys.executable, "docs/scripts/commands.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in command_names():
        assert f"## {name}\n" in made
        assert f"Usage: seqprof {name}" in made


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("mkdocs-material is absent: pip install seqprof[docs]")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "commands" / "index.html").is_file()


def test_the_hosted_ci_runs_the_same_commands_on_the_same_versions() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = {step["run"].split()[0] for step in steps if "run" in step}
    assert commands == {".ci/run", ".ci/matrix"}
    rows = workflow["jobs"]["matrix"]["strategy"]["matrix"]["include"]
    script = (ROOT / ".ci" / "matrix").read_text()
    assert " ".join(f"{row['torch']}:{row['python']}" for row in rows) in script
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    linters = {hook["entry"] for hook in hooks}
    assert linters == {"ruff check", "ruff format", "mypy", "lint-imports"}
