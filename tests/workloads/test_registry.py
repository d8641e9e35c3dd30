"""Families of this package and of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.registry import families, find_family, is_causal

PLUGIN = """
from torch import nn
from seqprof.workloads.body import Body
from seqprof.conflicts import Conflict
from seqprof.workloads.registry import Family, Option

def check(model):
    if model.hidden_size % 2:
        yield Conflict("model.hidden_size", "an even number, please")

family = Family(name="convolution", recurrence="none", executions=(), parallel_over_time=True,
                builder="sequence_plugin:make", checks=(check,),
                own_options=(Option(name="width", kind=int, default=3, minimum=1,
                                    description="timesteps seen"),))
lstm = Family(name="lstm", recurrence="an impostor", executions=(), parallel_over_time=True,
              builder="sequence_plugin:make")

class Convolution(Body):
    def __init__(self, size, features, width):
        super().__init__()
        self.layer = nn.Conv1d(size, features, width)
        self.output_size, self.width = features, width
    def forward(self, inputs, state=None, lengths=None, packed=False):
        padded = nn.functional.pad(inputs.transpose(1, 2), (self.width - 1, 0))
        return self.layer(padded).transpose(1, 2), ()

def make(spec, input_size):
    return Convolution(input_size, spec.hidden_size, family.settings(spec)["width"])
"""
TRAIN = """
from pathlib import Path
from seqprof.spec import Spec
from seqprof.workloads.build import build
spec = Spec.model_validate({"model": {"name": "convolution", "hidden_size": 8,
                                      "options": {"width": 5}},
                            "data": {"kind": "synthetic", "seq_len": 6}})
built = build(spec, Path())
batch = next(iter(built.data))
built.loss(built.model(batch.inputs), batch).backward()
print(built.facts.family, built.facts.flops_reason, built.model.body.layer.kernel_size[0])
"""


def install(folder: Path, entries: str) -> None:
    (folder / "sequence_plugin.py").write_text(PLUGIN)
    metadata = folder / "sequence_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sequence-plugin\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(f"[seqprof.workloads]\n{entries}\n")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), root))}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_another_package_adds_a_family_by_an_entry_point(tmp_path: Path) -> None:
    entries = "convolution = sequence_plugin:family\nlstm = sequence_plugin:lstm"
    install(tmp_path, entries)
    done = python(tmp_path, "-c", TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "convolution convolution does not say its FLOPs 5"
    listed = python(tmp_path, "-m", "seqprof", "list").stdout
    assert "convolution" in listed
    assert "impostor" not in listed


def test_a_familys_own_options_and_checks_are_held_against_the_spec(tmp_path: Path) -> None:
    install(tmp_path, "convolution = sequence_plugin:family")
    (tmp_path / "bad.yaml").write_text(
        "model:\n  name: convolution\n  hidden_size: 7\n  options: {width: 0, withd: 3}\n"
    )
    done = python(tmp_path, "-m", "seqprof", "run", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "option 'width' is a whole number ≥ 1, not 0" in told
    assert "no option 'withd'; did you mean 'width'?" in told
    assert "bad.yaml:3:3: an even number, please" in told


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("x = sequence_plugin:absent", "cannot be loaded: AttributeError"),
        ("x = os:sep", "is a str"),
    ],
)
def test_a_broken_entry_point_is_told_by_its_package(
    tmp_path: Path, entry: str, message: str
) -> None:
    install(tmp_path, entry)
    done = python(tmp_path, "-m", "seqprof", "list")
    assert done.returncode == 2
    assert "entry point 'x' of sequence-plugin" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


BUILT_HERE = [name for name in families() if name != "transformers"]


@pytest.mark.parametrize("name", BUILT_HERE)
def test_every_family_has_a_body_for_each_form(name: str) -> None:
    family = find_family(name)
    for execution in family.executions or (None,):
        model = {"name": name, "hidden_size": 8, "execution": execution}
        if (name, execution) == ("mamba", "chunked"):
            model["transition"] = "scalar"
        spec = ModelSpec.model_validate(model)
        body = family.load_builder()(spec, 4)
        assert isinstance(body, Body)
        assert body.carries_state is not family.parallel_over_time
        assert bool(body.timestep_modules()) == (execution in ("cell", "sequential"))


def test_every_form_says_how_it_grows() -> None:
    for family in families().values():
        told = {growth.form.split(",")[0] for growth in family.growth}
        assert told == set(family.executions or ("one",))


def test_the_docs_have_every_family() -> None:
    text = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")
    assert [name for name in families() if f"`{name}`" not in text] == []


def test_the_form_that_a_spec_leaves_out() -> None:
    assert find_family("lstm").default_execution == "fused"
    assert find_family("mingru").default_execution == "parallel"
    assert find_family("slstm").default_execution == "cell"
    assert find_family("tcn").default_execution is None


def test_causality_is_of_family_and_directions() -> None:
    assert is_causal(ModelSpec(name="lstm"))
    assert not is_causal(ModelSpec(name="lstm", bidirectional=True))
    assert not is_causal(ModelSpec(name="encoder"))
    assert is_causal(ModelSpec(target="a:b"))
    with pytest.raises(SeqprofError, match="did you mean 'gru'"):
        find_family("gruu")
