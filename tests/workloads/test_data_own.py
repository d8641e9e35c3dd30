"""The user's own batches and code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Data
from seqprof.workloads.build import build
from seqprof.workloads.data.opening import open_data
from seqprof.workloads.targets import call_target, load_target

MODULE = """
import numpy as np
import torch
from torch import nn

def tokens(n=2):
    for i in range(n):
        yield torch.full((2, 3), i), torch.full((2, 3), i + 1, dtype=torch.int32)
tokens.vocabulary = 5

def numbers():
    yield {"inputs": np.ones((2, 3, 4)), "targets": torch.zeros(2, 1, dtype=torch.float64)}

def batches():
    from seqprof.workloads.batches import Batch
    ones = torch.ones(2, 3, dtype=torch.int32)
    yield Batch(ones, ones, torch.tensor([1, 3]), packed=True)

class Labelled(list):
    vocabulary, classes = 7, 3

listed = [(torch.ones(2, 3).long(), torch.tensor([0, 2]))] * 2
labelled = Labelled(listed)
once = iter(listed)
broken_rank = [(torch.ones(2), torch.ones(2))]
no_pair = ["text"]
misfit = [(torch.ones(2, 3).long(), torch.ones(2, 4).long())]
flat_floats = [(torch.ones(2, 3, 1), torch.ones(2, 3))]
out_of_range = Labelled([(torch.full((2, 3), 9), torch.tensor([0, 2]))])
empty = []
number = 3

def raising():
    yield from listed
    raise ValueError("the disk is gone")

class Model(nn.Module):
    def __init__(self, size=4):
        super().__init__()
        self.embedding = nn.Embedding(256, size)
        self.rnn = nn.GRU(size, size, batch_first=True)
        self.out = nn.Linear(size, 256)
    def forward(self, x):
        return self.out(self.rnn(self.embedding(x))[0])

def loss(output, target):
    return ((output - target) ** 2).sum()

def not_a_model():
    return 3
def no_parameters():
    return nn.Tanh()
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder with the user's module ``own_code``."""
    (tmp_path / "own_code.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("own_code", None)


def make_spec(name: str | None, model: dict[str, Any] | None = None, **train: Any) -> Spec:
    data: dict[str, Any] = {"seq_len": 6, "batch_size": 2}
    if name is not None:
        data = {"target": f"own_code:{name}"}
    return Spec.model_validate({"model": model or {"name": "lstm"}, "data": data, "train": train})


def open_own(own: Path, name: str) -> Data:
    return open_data(make_spec(name), own)


def test_a_generator_is_called_again_when_it_ends(own: Path) -> None:
    batches = list(islice(open_own(own, "tokens"), 5))
    assert [int(b.inputs[0, 0]) for b in batches] == [0, 1, 0, 1, 0]
    assert batches[0].targets.dtype == torch.int64
    assert open_own(own, "tokens").facts.classes == 5


def test_an_iterable_is_begun_again(own: Path) -> None:
    data = open_own(own, "labelled")
    assert len(list(islice(data, 5))) == 5
    facts = data.facts
    assert (facts.vocabulary, facts.classes, facts.per_timestep) == (7, 3, False)
    built = build(make_spec("labelled"), own)
    assert built.timesteps is None
    assert built.facts.flops_per_step is None
    assert built.model(next(iter(built.data)).inputs).shape == (2, 3)


def test_arrays_and_dicts_are_taken_as_tensors(own: Path) -> None:
    data = open_own(own, "numbers")
    batch = next(iter(data))
    assert batch.inputs.dtype == batch.targets.dtype == torch.float32
    facts = data.facts
    assert (facts.features, facts.outputs, facts.per_timestep) == (4, 1, False)


def test_a_batch_keeps_its_lengths(own: Path) -> None:
    batch = next(iter(open_own(own, "batches")))
    assert batch.inputs.dtype == torch.int64
    assert (batch.positions, batch.padded_positions, batch.packed) == (4, 0, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken_rank", r"batch 0 of own_code:broken_rank: inputs are float32 \[2\]"),
        ("no_pair", "it is a str"),
        ("misfit", r"inputs \[2, 3\] do not fit targets \[2, 4\]"),
        ("flat_floats", r"give \[B, T, 1\]"),
        ("out_of_range", "inputs are 9 to 9, and there are 7"),
        ("empty", "has no batches"),
        ("number", "gives a int, which is not iterable"),
        ("tokenz", "has no 'tokenz'"),
    ],
)
def test_unfit_batches_are_refused(own: Path, name: str, message: str) -> None:
    with pytest.raises(SeqprofError, match=message):
        next(islice(open_own(own, name), 1, None))


def test_an_iterator_that_cannot_be_begun_again_is_refused_when_it_ends(own: Path) -> None:
    batches = iter(open_own(own, "once"))
    next(batches)
    with pytest.raises(SeqprofError, match="no more batches") as caught:
        next(batches)
    assert "function" in (caught.value.hint or "")


def test_what_the_users_iterable_raises_is_told_with_its_place(own: Path) -> None:
    batches = iter(open_own(own, "raising"))
    next(batches)
    next(batches)
    with pytest.raises(SeqprofError, match=r"(?s)ValueError: the disk is gone.*own_code\.py:\d+"):
        next(batches)


def test_a_built_in_model_must_know_how_many_tokens_there_are(own: Path) -> None:
    with pytest.raises(SeqprofError, match="how many tokens") as caught:
        build(make_spec("listed"), own)
    assert "`vocabulary`" in (caught.value.hint or "")


def test_own_model_on_built_in_text(own: Path) -> None:
    model = {"target": "own_code:Model", "kwargs": {"size": 8}}
    built = build(make_spec(None, model), own)
    batch = next(iter(built.data))
    loss = built.loss(built.model(batch.inputs), batch)
    loss.backward()  # type: ignore[no-untyped-call]
    facts = built.facts
    assert (facts.family, facts.flops_per_step, facts.timestep_modules) == (None, None, ())
    assert facts.flops_reason
    assert facts.parameters == sum(p.numel() for p in built.model.parameters())
    assert built.timesteps == 6


def test_own_loss_is_given_output_and_targets(own: Path) -> None:
    built = build(make_spec("numbers", loss="own_code:loss"), own)
    batch = next(iter(built.data))
    assert built.loss(torch.full((2, 1), 3.0), batch).item() == 18


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"target": "own_code:not_a_model"}, "returned a int, not an nn.Module"),
        ({"target": "own_code:no_parameters"}, "no parameter to train"),
        ({"target": "own_code:number"}, "is a int, not a function"),
        (
            {"target": "own_code:Model", "kwargs": {"sise": 3}},
            r"(?s)raised TypeError: .*unexpected keyword argument 'sise'",
        ),
        (
            {"target": "own_code:Model", "kwargs": {"size": -1}},
            r"(?s)raised RuntimeError: .*at .*own_code\.py:\d+",
        ),
    ],
)
def test_a_factory_that_gives_no_model_is_refused(
    own: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(SeqprofError, match=message):
        build(make_spec(None, model), own)


# Finding code.


def test_the_folder_is_searched_only_while_importing(own: Path) -> None:
    before = list(sys.path)
    assert load_target("own_code:number", own, "model.target") == 3
    assert sys.path == before


def test_an_import_within_a_function_finds_the_folder_too(own: Path) -> None:
    (own / "later_code.py").write_text("value = 4\n")
    (own / "lazy_code.py").write_text(
        "def f():\n    import later_code\n    return later_code.value\n"
    )
    assert call_target("lazy_code:f", own, {}, "model.target") == 4


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("own_cod:f", "no module 'own_cod'", "'own_code'"),
        ("nothing_like_it:f", "no module 'nothing_like_it'", "put its .py file there"),
        ("own_code.deeper:f", "no module 'own_code.deeper'", None),
        ("own_code:Modell", "has no 'Modell'", "'Model'"),
        ("needs_code:f", r"(?s)ModuleNotFoundError: No module named 'absent_one'.*:2", None),
        ("fails_code:f", r"(?s)ZeroDivisionError: division by zero.*fails_code\.py:3", None),
        ("syntax_code:f", r"(?s)SyntaxError: .*syntax_code\.py:1", None),
        ("exits_code:f", r"(?s)SystemExit: 3.*exits_code\.py:2", None),
    ],
)
def test_code_that_cannot_be_loaded_is_told_with_its_place(
    own: Path, target: str, message: str, hint: str | None
) -> None:
    (own / "needs_code.py").write_text("\nimport absent_one\n")
    (own / "fails_code.py").write_text("\n\n1 / 0\n")
    (own / "syntax_code.py").write_text("def f(:\n")
    (own / "exits_code.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SeqprofError, match=message) as caught:
        load_target(target, own, "model.target")
    assert caught.value.message.startswith("model.target: ")
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_a_name_taken_by_another_module_is_told(own: Path) -> None:
    (own / "colorsys.py").write_text("mine = 1\n")
    import colorsys

    assert not hasattr(colorsys, "mine")
    with pytest.raises(SeqprofError, match=r"not from .*colorsys\.py"):
        load_target("colorsys:mine", own, "model.target")
