"""`seqprof init`: what it writes is a spec that runs, and each comment in it is a key that may be
uncommented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seqprof import shipped_configs
from seqprof.cli.app import command_line
from seqprof.errors import SeqprofError
from seqprof.spec_file import load_spec, load_spec_text
from seqprof.workloads.registry import families


def init(*words: str) -> Any:  # newer versions of Typer have a Result of their own
    return CliRunner().invoke(command_line(), ["init", *words])


@pytest.mark.parametrize("name", [*families(), "gru@fused", "mamba@sequential", "mine:build"])
def test_it_is_a_spec_for_every_model(name: str) -> None:
    done = init(name)
    assert done.exit_code == 0, done.output
    spec = load_spec_text(done.stdout, name).spec
    family, _, form = name.partition("@")
    assert (spec.model.target or spec.model.name) == family
    assert not form or spec.model.execution == form
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", families())
def test_each_commented_key_can_be_uncommented(name: str) -> None:
    lines = init(name).stdout.splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r"  # (  )?\w+: \S", line)]
    assert len(keys) > 20
    if name != "lstm":  # what follows the model is the same for all
        keys = [index for index in keys if index < lines.index("data:")]
    for index in keys:
        changed = list(lines)
        changed[index] = re.sub(r"# ", "", lines[index], count=1)
        if changed[index].startswith("    "):  # in a section, whose own line is commented, too
            head = max(i for i in range(index) if re.fullmatch(r"  # \w+:", lines[i]))
            changed[head] = lines[head].replace("# ", "", 1)
        assert load_spec_text("\n".join(changed), name).spec, lines[index]


def test_a_sample_is_copied_with_what_it_needs(tmp_path: Path) -> None:
    for name in shipped_configs.names():
        folder = tmp_path / name
        folder.mkdir()
        assert init(f"@{name}", "-o", str(folder / "my.yaml")).exit_code == 0
        copied = load_spec(folder / "my.yaml").spec
        assert copied == load_spec(shipped_configs.path_of(name)).spec
        for needed in (copied.data.path, copied.model.target):
            if needed is not None:
                file = folder / (needed if "." in needed else f"{needed.partition(':')[0]}.py")
                assert file.is_file()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("mine")
    done = init("-o", str(path))
    assert isinstance(done.exception, SeqprofError)
    assert "exists already" in done.exception.message
    assert path.read_text() == "mine"
    (tmp_path / "own_model.py").write_text("mine")
    assert init("@own_model", "-o", str(tmp_path / "new.yaml")).exit_code == 0
    assert (tmp_path / "own_model.py").read_text() == "mine"
