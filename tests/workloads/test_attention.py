"""Who sees what, and what the positions are worth."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec
from seqprof.workloads.families.attention import AttentionBody, build


def make_body(name: str, **model: Any) -> AttentionBody:
    torch.manual_seed(0)
    body = build(ModelSpec.model_validate({"name": name, "hidden_size": 8, **model}), 8)
    assert isinstance(body, AttentionBody)
    return body


def reach(body: AttentionBody, t: int, timesteps: int = 6) -> list[bool]:
    """For each input timestep, whether the output at t depends on it."""
    inputs = torch.randn(2, timesteps, 8, requires_grad=True)
    body(inputs)[0][:, t].square().sum().backward()
    assert inputs.grad is not None
    return (inputs.grad.abs().sum((0, 2)) > 0).tolist()


def test_attention_sees_the_past_only_and_the_encoder_everything() -> None:
    assert reach(make_body("attention", layers=2), 2) == [True] * 3 + [False] * 3
    assert reach(make_body("encoder", layers=2), 2) == [True] * 6


def test_the_encoder_does_not_see_padding() -> None:
    body = make_body("encoder")
    inputs, lengths = torch.randn(2, 6, 8), torch.tensor([3, 6])
    alone = body(inputs[:1, :3])[0]
    torch.testing.assert_close(body(inputs, lengths=lengths)[0][:1, :3], alone)
    assert not torch.allclose(body(inputs)[0][:1, :3], alone)


def test_order_matters_and_only_distances_do() -> None:
    body = make_body("encoder")
    x = torch.randn(1, 4, 8)
    swapped = body(x[:, [1, 0, 2, 3]])[0][:, [1, 0, 2, 3]]
    assert not torch.allclose(swapped, body(x)[0], atol=1e-4)
    causal = make_body("attention")
    padded = torch.cat((x[:, :1], x), 1)
    # Seen by the last timestep, the first three of x are as far away in both.
    keep = torch.tensor([[[[False, True, True, True, True]]]])
    encoder_later = body.blocks[0](padded, *body._angles(padded), keep)[:, 1:]
    encoder_first = body.blocks[0](x, *body._angles(x), None)
    torch.testing.assert_close(encoder_later, encoder_first)
    assert causal(x)[0].shape == (1, 4, 8)


def test_any_length_and_odd_heads_work() -> None:
    body = make_body("attention", hidden_size=12, heads=4, input_size=8)
    for timesteps in (1, 2, 130):
        assert body(torch.randn(1, timesteps, 8))[0].shape == (1, timesteps, 12)


def test_checkpointing_changes_no_gradient() -> None:
    x = torch.randn(2, 5, 8)
    gradients = []
    for checkpoint in (False, True):
        body = make_body("attention", layers=3, dropout=0.5)
        body.checkpoint = checkpoint
        torch.manual_seed(1)
        body(x)[0].sum().backward()
        gradients.append([p.grad for p in body.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(SeqprofError, match="divided among 3 heads"):
        make_body("attention", heads=3)
    with pytest.raises(SeqprofError, match="packed"):
        make_body("encoder")(torch.randn(1, 2, 8), None, torch.tensor([1]), True)


def test_it_traces_into_one_graph_and_runs_on_shapes_alone() -> None:
    body = make_body("encoder")
    x, lengths = torch.randn(2, 3, 8), torch.tensor([2, 3])
    compiled = torch.compile(body, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, None, lengths)[0], body(x, None, lengths)[0])
    outputs, state = body.to("meta")(x.to("meta"))
    assert (outputs.shape, state) == ((2, 3, 8), ())
