"""Architectures of Hugging Face's library, from configurations alone."""

from __future__ import annotations

import copy
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec, Spec
from seqprof.workloads.body import Body
from seqprof.workloads.build import build
from seqprof.workloads.registry import find_family

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed (pip install 'seqprof[transformers]')",
)
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
MAMBA = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
RWKV = {"model_type": "rwkv", "hidden_size": 16, "num_hidden_layers": 2}


def make_spec(config: dict[str, Any], seq_len: int = 16, **parts: Any) -> Spec:
    data = {"kind": "text", "path": __file__, "seq_len": seq_len, "batch_size": 4}
    model = {"name": "transformers", "config": config, **parts.pop("model", {})}
    return Spec.model_validate({"model": model, "data": data, **parts})


def make_body(config: dict[str, Any]) -> Body:
    family = find_family("transformers")
    spec = ModelSpec(name="transformers", config=config)
    body = family.load_builder()(spec, family.find_entry_size(spec))
    assert isinstance(body, Body)
    return body


@needs_library
@pytest.mark.parametrize("config", [GPT2, MAMBA], ids=lambda config: config["model_type"])
def test_it_trains_without_a_network(config: dict[str, Any], monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    built = build(make_spec(config), Path())
    optimizer = torch.optim.Adam(built.model.parameters(), 0.01)
    losses = []
    for _, batch in zip(range(40), built.data, strict=False):
        loss = built.loss(built.model(batch.inputs), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.8 * losses[0]
    assert all(p.grad is not None for p in built.model.parameters())
    assert built.facts.flops_reason == "transformers does not say its FLOPs"


@needs_library
@pytest.mark.parametrize("config", [GPT2, MAMBA], ids=lambda config: config["model_type"])
def test_no_timestep_sees_a_later_one(config: dict[str, Any]) -> None:
    body = make_body(config).eval()
    inputs = torch.randn(2, 12, 16)
    changed = inputs.clone()
    changed[:, 7, 0] += 1
    before, after = body(inputs)[0], body(changed)[0]
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7], after[:, 7])


@needs_library
def test_the_librarys_slow_path_is_told() -> None:
    mamba, gpt2 = make_body(MAMBA), make_body(GPT2)
    assert mamba.slow_paths() == ()  # nothing has run yet
    gpt2(torch.randn(1, 8, 16))
    assert gpt2.slow_paths() == ()
    again = make_body(MAMBA)
    again(torch.randn(1, 8, 16))
    if importlib.util.find_spec("mamba_ssm") is None:
        assert any("mamba_ssm" in told for told in again.slow_paths())
    assert copy.deepcopy(again).slow_paths() == again.slow_paths()
    assert any("RWKV" in told for told in make_body(RWKV).slow_paths())


@needs_library
def test_checkpointing_is_the_librarys_and_changes_nothing() -> None:
    body = make_body({**GPT2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}).train()
    inputs = torch.randn(2, 8, 16)
    plain = body(inputs)[0]
    body.checkpoint = True
    torch.testing.assert_close(body(inputs)[0], plain)
    saved: list[torch.Tensor] = []

    def save(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        body(inputs)
    assert len(saved) < 20  # of each block its input only


@needs_library
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gtp2"}, "did you mean 'gpt2'"),
        ({"model_type": "gpt2", "n_emb": 16}, "did you mean 'n_embd'"),
        ({"model_type": "gpt2", "n_embd": "wide"}, "refuses this configuration"),
        ({"model_type": "gpt2", "n_embd": 17, "n_head": 2}, "cannot build"),
        ({"model_type": "t5"}, "cannot build a sequence model"),
        ({"model_type": "gpt2", "n_embd": 120_000, "n_layer": 2}, "GiB of weights"),
        (BERT, "sees the tokens"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_refused_in_words(config: dict[str, Any], words: str) -> None:
    with pytest.raises(SeqprofError, match=words):
        build(make_spec(config), Path())


@needs_library
def test_an_architecture_that_sees_both_ways_classifies() -> None:
    spec = make_spec(BERT, model={"head": "classification"})
    folder = spec.data.model_copy(update={"path": str(Path(__file__).parent)})
    built = build(spec.model_copy(update={"data": folder}), Path())
    batch = next(iter(built.data))
    assert built.loss(built.model(batch.inputs), batch).isfinite()


@needs_library
def test_more_timesteps_than_positions_are_refused_before_the_device_fails() -> None:
    built = build(make_spec(GPT2, seq_len=33), Path())
    with pytest.raises(SeqprofError, match="32 learned positions"):
        built.model(next(iter(built.data)).inputs)


def test_without_the_library_the_user_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "model: {name: transformers, config: {model_type: gpt2}}\ndata: {seq_len: 16}\n"
    )
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from seqprof.cli import main\n"
        "sys.argv = ['seqprof', 'run', 'x.yaml']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'seqprof[transformers]'" in done.stderr
    assert "Traceback" not in done.stderr
