"""From a spec to a model: what it is, its loss, and its FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built, build
from seqprof.workloads.heads import SequenceHead, TimestepHead
from seqprof.workloads.losses import cross_entropy, mse, suited_loss
from seqprof.workloads.sequence_model import SequenceModel

RANDOM = {"kind": "synthetic", "task": "random", "seq_len": 16, "batch_size": 3}
FAMILIES: list[dict[str, Any]] = [
    {"name": "rnn", "execution": "cell"},
    {"name": "lstm", "execution": "cell", "layers": 2},
    {"name": "gru", "execution": "cell", "layers": 2, "bidirectional": True},
    {"name": "attention", "layers": 2},
    {"name": "attention", "input_size": 12},
    {"name": "encoder", "head": "classification"},
]


def build_one(model: dict[str, Any], folder: Path = Path(), **parts: Any) -> Built:
    spec = {"model": {"hidden_size": 8, **model}, "data": RANDOM, **parts}
    return build(Spec.model_validate(spec), folder)


@pytest.mark.parametrize("model", FAMILIES, ids=lambda model: "-".join(map(str, model.values())))
def test_flops_are_what_torch_counts(model: dict[str, Any]) -> None:
    built = build_one(model)
    assert built.facts.flops_per_step is not None
    batch = next(iter(built.data))
    counter = FlopCounterMode(display=False)
    # torch counts no FLOPs of the CPU's own fused attention.
    with counter, sdpa_kernel(SDPBackend.MATH):
        output = built.model(batch.inputs)
        forward = counter.get_total_flops()
        built.loss(output, batch).backward()  # type: ignore[no-untyped-call]
    assert 3 * forward == built.facts.flops_per_step
    total = counter.get_total_flops()
    # Less in a cell's first timestep: its state wants no gradient.
    assert total == pytest.approx(built.facts.flops_per_step, rel=1 / 16)


def test_fused_layers_have_the_flops_of_cells() -> None:
    for name in ("rnn", "lstm", "gru"):
        model = {"name": name, "layers": 2, "bidirectional": True}
        cell, fused = (build_one({**model, "execution": e}) for e in ("cell", "fused"))
        assert cell.facts.flops_per_step == fused.facts.flops_per_step


def test_flops_count_micro_batches_and_are_none_where_they_vary() -> None:
    once = build_one({"name": "lstm"}).facts.flops_per_step
    twice = build_one({"name": "lstm"}, train={"accumulate": 2}).facts.flops_per_step
    assert once is not None
    assert twice == 2 * once
    lengths = {"distribution": "uniform", "layout": "packed"}
    packed = build_one({"name": "lstm"}, data={**RANDOM, "lengths": lengths}).facts
    assert packed.flops_per_step is None
    assert "packed" in (packed.flops_reason or "")


def test_numbers_enter_through_a_linear_map_or_straight(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n2,3\n" * 20)
    data = {"kind": "csv", "path": "t.csv", "seq_len": 6, "batch_size": 2}
    mapped = build_one({"name": "lstm"}, tmp_path, data=data)
    straight = build_one({"name": "lstm", "input_size": 2}, tmp_path, data=data)
    assert isinstance(mapped.model, SequenceModel)
    assert isinstance(straight.model, SequenceModel)
    assert isinstance(mapped.model.entry, nn.Linear)
    assert isinstance(straight.model.entry, nn.Identity)
    for built in (mapped, straight):
        batch = next(iter(built.data))
        output = built.model(batch.inputs)
        assert output.shape == (2, 6, 2)
        assert built.loss(output, batch).item() == pytest.approx(
            nn.functional.mse_loss(output, batch.targets).item()
        )


@pytest.mark.parametrize(
    ("model", "data", "head", "width"),
    [
        ({"name": "lstm"}, {}, TimestepHead, 256),
        ({"name": "lstm", "bidirectional": True}, {}, SequenceHead, 16),
        ({"name": "encoder"}, {}, SequenceHead, 16),
        ({"name": "attention"}, {}, TimestepHead, 256),
        ({"name": "lstm", "head": "classification"}, {}, SequenceHead, 16),
        ({"name": "encoder"}, {"kind": "synthetic"}, TimestepHead, 64),
        ({"name": "gru"}, {"kind": "synthetic", "task": "random"}, TimestepHead, 64),
    ],
)
def test_the_head_suits_data_and_model(
    model: dict[str, Any], data: dict[str, Any], head: type[nn.Module], width: int
) -> None:
    built = build_one(model, data={"seq_len": 6, "batch_size": 2, **data})
    assert isinstance(built.model, SequenceModel)
    assert type(built.model.head) is head
    batch = next(iter(built.data))
    output = built.model(batch.inputs)
    assert output.shape == ((2, 6, width) if head is TimestepHead else (2, width))
    assert built.loss(output, batch).isfinite()


def test_the_seed_decides_weights_and_data() -> None:
    one, same = build_one({"name": "lstm"}), build_one({"name": "lstm"})
    other = build_one({"name": "lstm"}, train={"seed": 1})
    weights = [next(built.model.parameters()) for built in (one, same, other)]
    inputs = [next(iter(built.data)).inputs for built in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(inputs[0], inputs[1])
    assert not torch.equal(inputs[0], inputs[2])


def test_facts_say_form_and_parameters() -> None:
    built = build_one({"name": "gru"})
    assert (built.facts.family, built.facts.execution) == ("gru", "fused")
    assert built.facts.carries_state
    assert built.facts.parameters == sum(p.numel() for p in built.model.parameters())
    assert build_one({"name": "encoder"}).facts.execution is None
    bidirectional = build_one({"name": "gru", "bidirectional": True, "execution": "cell"})
    assert not bidirectional.facts.carries_state
    assert not build_one({"name": "attention"}).facts.carries_state


@pytest.mark.parametrize("name", ["lstm", "encoder", "attention"])
def test_random_majority_can_be_learned(name: str) -> None:
    data = {**RANDOM, "batch_size": 64, "seq_len": 9, "vocabulary": 4}
    built = build_one({"name": name, "head": "classification", "hidden_size": 16}, data=data)
    optimizer = torch.optim.Adam(built.model.parameters(), 0.01)
    losses = []
    for _, batch in zip(range(60), built.data, strict=False):
        loss = built.loss(built.model(batch.inputs), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.5 < 0.6 < losses[0]


def test_the_classified_state_has_seen_all_that_is_valid() -> None:
    head = SequenceHead(4, 3, reverse_features=2)
    outputs = torch.randn(2, 5, 4, requires_grad=True)
    head(outputs, torch.tensor([2, 5])).sum().backward()
    assert outputs.grad is not None
    used = (outputs.grad != 0).nonzero().tolist()
    assert used[:4] == [[0, 0, 2], [0, 0, 3], [0, 1, 0], [0, 1, 1]]
    assert used[4:] == [[1, 0, 2], [1, 0, 3], [1, 4, 0], [1, 4, 1]]


def test_cross_entropy_is_the_mean_over_what_counts() -> None:
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 2, -100], [0, -100, -100]])
    ours = cross_entropy(logits, Batch(targets, targets))
    theirs = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(ours, theirs)
    nothing = torch.full((2, 3), -100)
    assert cross_entropy(logits, Batch(targets, nothing)).item() == 0


def test_squared_errors_leave_padding_out() -> None:
    output, targets = torch.randn(2, 3, 2), torch.randn(2, 3, 2)
    batch = Batch(torch.ones(2, 3, 1), targets, torch.tensor([1, 3]))
    counted = torch.cat(((output - targets)[0, :1], (output - targets)[1]))
    torch.testing.assert_close(mse(output, batch), counted.square().mean())
    ended = Batch(torch.ones(2, 3, 1), targets[:, 0], torch.tensor([0, 3]))
    torch.testing.assert_close(mse(output[:, 0], ended), (output - targets)[1, 0].square().mean())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 7), r"output is float32 \[2, 7\], the targets are int64 \[2, 3\]"),
        (torch.zeros(2, 4, 7), r"float32 \[2, 4, 7\]"),
        ((None, "x"), "returned a tuple of 2, and no tensor is in it"),
    ],
)
def test_an_output_that_does_not_fit_the_targets_is_told(output: Any, message: str) -> None:
    tokens = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(SeqprofError, match=message):
        suited_loss(output, Batch(tokens, tokens))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": {"name": "lsmt"}}, "unknown model 'lsmt'; did you mean 'lstm'"),
        ({"train": {"loss": "mse"}}, "mse does not suit targets that are classes"),
        ({"train": {"loss": "absent_code:f"}}, "train.loss: no module 'absent_code'"),
    ],
)
def test_what_does_not_exist_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(SeqprofError, match=message):
        build(Spec.model_validate({"model": {"name": "lstm"}, "data": RANDOM, **parts}), Path())
