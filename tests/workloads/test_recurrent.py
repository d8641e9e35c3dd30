"""Cells and fused layers are one model; padding changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec, Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.body import Body, State, detach_state
from seqprof.workloads.build import build
from seqprof.workloads.families.recurrent import Timestep
from seqprof.workloads.families.recurrent import build as build_body
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.step import TrainingStep

KINDS = [
    {"name": "rnn", "nonlinearity": "tanh"},
    {"name": "rnn", "nonlinearity": "relu"},
    {"name": "lstm"},
    {"name": "gru"},
]


def make_spec(model: dict[str, Any], seq_len: int = 7, **train: Any) -> Spec:
    data = {"kind": "synthetic", "task": "random", "seq_len": seq_len, "batch_size": 3}
    return Spec.model_validate(
        {"model": {"hidden_size": 5, "input_size": 4, **model}, "data": data, "train": train}
    )


def make_body(seed: int = 0, input_size: int = 4, **model: Any) -> Body:
    torch.manual_seed(seed)
    return build_body(ModelSpec.model_validate({"hidden_size": 5, **model}), input_size)


def loss_and_gradients(spec: Spec) -> tuple[Tensor, list[Tensor]]:
    built = build(spec, Path())
    batch = next(iter(built.data))
    built.model.double()
    loss = built.loss(built.model(batch.inputs), batch)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), [p.grad for p in built.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_cells_and_fused_layers_are_the_same_model(
    kind: dict[str, str], layers: int, bidirectional: bool
) -> None:
    model = {**kind, "layers": layers, "bidirectional": bidirectional}
    cell_loss, cells = loss_and_gradients(make_spec({**model, "execution": "cell"}))
    fused_loss, fused = loss_and_gradients(make_spec({**model, "execution": "fused"}))
    torch.testing.assert_close(cell_loss, fused_loss, rtol=1e-12, atol=0)
    assert len(cells) == len(fused)
    assert all(gradient.abs().max() > 0 for gradient in cells)
    # The parameters come in the same order: layer, direction, weight_ih, weight_hh, biases.
    for ours, theirs in zip(cells, fused, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("execution", ["cell", "fused"])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_sequence_in_chunks_with_state_is_the_whole_sequence(name: str, execution: str) -> None:
    body = make_body(name=name, execution=execution, layers=2).double()
    assert body.carries_state
    inputs = torch.randn(3, 9, 4, dtype=torch.float64)
    whole, final = body(inputs)
    first, state = body(inputs[:, :4])
    second, last = body(inputs[:, 4:], detach_state(state))
    torch.testing.assert_close(torch.cat((first, second), 1), whole)
    assert not any(t.requires_grad for t in flat(detach_state(state)))
    for got, expected in zip(flat(last), flat(final), strict=True):
        torch.testing.assert_close(got, expected)


def flat(state: State) -> list[Tensor]:
    return [t for part in state for t in ([part] if isinstance(part, Tensor) else flat(part))]


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_padding_does_not_reach_a_bidirectional_cells_outputs(name: str) -> None:
    """Cells on padded input give what the fused layer gives on packed input."""
    cell = make_body(name=name, execution="cell", bidirectional=True, layers=2)
    fused = make_body(name=name, execution="fused", bidirectional=True, layers=2)
    inputs, lengths = torch.randn(3, 6, 4), torch.tensor([2, 6, 4])
    ours, theirs = cell(inputs, lengths=lengths)[0], fused(inputs, None, lengths, True)[0]
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(ours[row, :length], theirs[row, :length])
    with pytest.raises(SeqprofError, match="padding"):
        fused(inputs, lengths=lengths)
    with pytest.raises(SeqprofError, match="packed"):
        cell(inputs, None, lengths, True)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    name=st.sampled_from(["rnn", "lstm", "gru", "attention", "encoder"]),
    execution=st.sampled_from(["cell", "fused"]),
    bidirectional=st.booleans(),
    classified=st.booleans(),
)
def test_padding_does_not_alter_the_loss(
    lengths: list[int], name: str, execution: str, bidirectional: bool, classified: bool
) -> None:
    model: dict[str, Any] = {"name": name, "hidden_size": 8}
    if name in ("rnn", "lstm", "gru"):
        model |= {"execution": execution, "bidirectional": bidirectional}
    if classified:
        model["head"] = "classification"
    built = build(make_spec(model), Path())
    inputs = torch.randint(1, 64, (len(lengths), 6))
    targets = torch.randint(2, (len(lengths), 6))
    ends = torch.tensor(lengths)
    padding = torch.arange(6) >= ends.unsqueeze(1)
    packed = execution == "fused" and bidirectional and name in ("rnn", "lstm", "gru")
    masked = targets.masked_fill(padding, -100)
    if isinstance(built.data.facts.classes, int) and not built.data.facts.per_timestep:
        masked = targets[:, 0]
    losses = []
    for filling in (0, 63):
        batch = Batch(inputs.masked_fill(padding, filling), masked, ends, packed)
        output = built.model(batch.inputs, lengths=batch.lengths, packed=batch.packed)
        losses.append(built.loss(output, batch))
    torch.testing.assert_close(losses[0], losses[1])


def test_dropout_is_between_layers_and_in_training_only() -> None:
    for extra in ({}, {"bidirectional": True}):
        inputs = torch.randn(2, 5, 4)
        one = make_body(name="gru", execution="cell", layers=1, dropout=0.5, **extra)
        two = make_body(name="gru", execution="cell", layers=2, dropout=0.5, **extra)
        torch.testing.assert_close(one(inputs)[0], one(inputs)[0])
        assert not torch.equal(two(inputs)[0], two(inputs)[0])
        two.eval()
        torch.testing.assert_close(two(inputs)[0], two(inputs)[0])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("execution", ["cell", "fused"])
def test_checkpointing_changes_no_gradient(
    execution: str, bidirectional: bool, dropout: float
) -> None:
    model = {"name": "lstm", "layers": 2, "execution": execution, "bidirectional": bidirectional}
    gradients = []
    for checkpoint in (False, True):
        built = build(make_spec({**model, "dropout": dropout}, checkpoint=checkpoint), Path())
        assert isinstance(built.model, SequenceModel)
        assert built.model.body.checkpoint is checkpoint
        batch = next(iter(built.data))
        torch.manual_seed(1)
        built.loss(built.model(batch.inputs), batch).backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in built.model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_checkpointed_cells_keep_the_states_of_chunks_only() -> None:
    """In the forward nothing of a timestep is saved; each timestep runs once more backward."""
    body = make_body(name="lstm", execution="cell")
    calls = count_calls(body, "timestep")
    body.checkpoint = True
    saved: list[Tensor] = []

    def save(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        outputs = body(torch.randn(2, 16, 4, requires_grad=True))[0]
    assert len(calls) == 16
    assert len(saved) < 16
    outputs.sum().backward()
    assert len(calls) == 32


def count_calls(module: nn.Module, path: str) -> list[Tensor]:
    inputs: list[Tensor] = []
    module.get_submodule(path).register_forward_pre_hook(lambda m, args: inputs.append(args[0]))
    return inputs


@pytest.mark.parametrize("bidirectional", [False, True])
def test_timestep_modules_are_called_once_per_timestep_in_the_order_they_say(
    bidirectional: bool,
) -> None:
    built = build(
        make_spec(
            {"name": "lstm", "execution": "cell", "layers": 2, "bidirectional": bidirectional}
        ),
        Path(),
    )
    modules = built.facts.timestep_modules
    assert [m.reverse for m in modules] == ([False, True] * 2 if bidirectional else [False])
    calls = {m.path: count_calls(built.model, m.path) for m in modules}
    assert all(isinstance(built.model.get_submodule(m.path), Timestep) for m in modules)
    tokens = torch.arange(1, 8).expand(3, -1)
    built.model(tokens)
    assert isinstance(built.model, SequenceModel)
    embedded = built.model.entry(tokens).unbind(1)
    for module in modules:
        assert len(calls[module.path]) == 7
        if "layers.1" not in module.path:
            expected = embedded[::-1] if module.reverse else embedded
            for got, wanted in zip(calls[module.path], expected, strict=True):
                assert torch.equal(got, wanted)


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_timesteps_are_taken_apart_without_indexing_and_without_synchronizing(
    bidirectional: bool,
) -> None:
    """On the meta device anything that reads a value, such as ``.item()``, fails."""
    body = make_body(name="lstm", execution="cell", layers=2, bidirectional=bidirectional)
    inputs = torch.randn(3, 6, 4, device="meta", requires_grad=True)
    with _Operations() as operations:
        outputs, _ = body.to("meta")(inputs)
        outputs.sum().backward()
    assert outputs.shape == (3, 6, 10 if bidirectional else 5)
    assert "unbind" in operations.names
    indexing = {"select_backward", "slice_backward", "index", "_local_scalar_dense"}
    assert indexing.isdisjoint(operations.names)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_cells_trace_into_one_graph(name: str) -> None:
    body = make_body(name=name, execution="cell", layers=2, bidirectional=name == "gru")
    inputs = torch.randn(2, 3, 4)
    compiled = torch.compile(body, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(inputs)[0], body(inputs)[0])


def test_half_precision_trains_or_is_refused_in_words() -> None:
    """Whether oneDNN has an fp16 LSTM depends on the processor; its own error says nothing."""
    spec = Spec.model_validate(
        {
            "model": {"name": "lstm", "execution": "fused", "hidden_size": 8},
            "data": {"kind": "synthetic", "seq_len": 8, "batch_size": 2},
            "train": {"precision": "fp16"},
        }
    )
    step = TrainingStep(build(spec, Path()), spec, torch.device("cpu"))
    try:
        loss, said = float(step.run().loss), ""
    except SeqprofError as error:
        loss, said = float("nan"), f"{error.message}; {error.hint}"
    assert loss > 0 or (said.startswith("train.precision") and "bf16 or fp32" in said)
