"""Depth of whole models, as `run` keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from seqprof.analysis.depth.graph import cost
from seqprof.measure.depth.counted import record, record_lengths
from seqprof.measure.depth.law import depth_at_lengths
from seqprof.measure.depth.subjects import config_subject, family_subject, meta_copy
from seqprof.recording import DepthLaw
from seqprof.spec import DataSpec, ModelSpec, Spec, TrainSpec
from seqprof.workloads.build import build


def spec(model: str = "lstm", timesteps: int = 64, **train: object) -> Spec:
    return Spec(
        model=ModelSpec(name=model, execution="cell" if model == "lstm" else None, hidden_size=8),
        data=DataSpec(kind="synthetic", seq_len=timesteps, batch_size=2),
        train=TrainSpec.model_validate(train),
    )


def facts(given: Spec) -> DepthLaw:
    built = build(given, Path())
    batch = next(iter(built.data))
    lengths = [given.data.seq_len]
    return depth_at_lengths(built.model, built.loss, given.train, batch, lengths, budget=300_000)[0]


def test_the_law_tells_what_a_whole_recording_finds() -> None:
    given = spec(timesteps=48)
    found = facts(given)
    whole = cost(record(config_subject(given, Path(), "lstm", None), 48))
    assert found.reason is None
    assert max(found.lengths) < 48
    assert (found.depth_ops, found.work_ops) == (whole.depth_ops, whole.work_ops)


def test_truncated_bptt_is_recorded_in_whole_chunks() -> None:
    given = spec(timesteps=40, bptt={"truncate": 10})
    found = facts(given)
    whole = cost(record(config_subject(given, Path(), "lstm", None), 40))
    assert found.depth_ops == whole.depth_ops
    untruncated = facts(spec(timesteps=40)).depth_ops
    assert untruncated is not None
    assert whole.depth_ops < untruncated
    assert "no multiple" in str(facts(spec(timesteps=41, bptt={"truncate": 10})).reason)


class _Reads(nn.Module):
    """Looks at values, which shapes have not, and does what ``model`` does."""

    def __init__(self, model: nn.Module, at: Callable[[torch.Tensor], bool]) -> None:
        super().__init__()
        self.model, self.at = model, at

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.at(tokens):
            raise ValueError("not these")
        output: torch.Tensor = self.model(tokens)
        return output


def test_a_model_that_reads_values_is_counted_in_real_steps() -> None:
    given = spec(timesteps=40)
    right = facts(given)
    built = build(given, Path())
    batch = next(iter(built.data))
    model = _Reads(built.model, lambda tokens: int(tokens[0, 0]) < 0)
    [law] = depth_at_lengths(model, built.loss, given.train, batch, [40], budget=300_000)
    assert (law.source, right.source) == ("step", "shapes")
    assert (law.depth_ops, law.law) == (right.depth_ops, right.law)
    assert law.work_ops is not None
    assert right.work_ops is not None
    assert right.work_ops <= law.work_ops <= right.work_ops + 1  # the number that it reads
    assert law.method == "counted in real steps"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_runs_in_no_way_gives_the_reason() -> None:
    given = spec()
    built = build(given, Path())
    batch = next(iter(built.data))
    refusing = _Reads(built.model, lambda tokens: int(tokens.max()) >= 0)
    [law] = depth_at_lengths(refusing, built.loss, given.train, batch, [64])
    assert law.depth_ops is None
    assert law.law is None
    assert "test_depth_facts.py:" in str(law.reason)


def test_the_copy_shares_what_the_model_shares_and_copies_no_weight() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.entry.weight
            self.register_buffer("seen", torch.ones(2))
            self.plain = torch.ones(3)

    model = Tied()
    copied = meta_copy(model)
    assert isinstance(copied, Tied)
    assert copied.entry.weight is copied.head.weight
    assert {t.device.type for t in (*copied.parameters(), *copied.buffers())} == {"meta"}
    assert isinstance(copied.plain, torch.Tensor)
    assert copied.plain.is_meta
    assert not model.entry.weight.is_meta


@pytest.mark.parametrize("model", ["mingru", "ssm"])
def test_scans_are_logarithmic(model: str) -> None:
    found = facts(spec(model))
    assert found.law is not None
    assert "log2 T" in found.law
    assert "T" not in found.coefficients


def test_two_layers_run_two_timesteps_at_once() -> None:
    from seqprof.analysis.depth.model_depth import Assumptions, derive

    assumed = Assumptions(
        kernel_latency_s=4e-6, latency_source="given", peak_flops=None, peak_source="not known"
    )
    across = []
    for layers in (1, 2):
        model = ModelSpec(name="rnn", execution="cell", hidden_size=8, layers=layers)
        recorded, _ = record_lengths(family_subject(model, 2), [32], lambda done: None)
        depth = derive(recorded, assumed)
        across.append(depth.across_timesteps.value)
        assert depth.recorded.optimizer is not None
        assert depth.recorded.optimizer.work_ops > 0
    assert across[0] == pytest.approx(1, abs=0.05)
    assert across[1] == pytest.approx(2, abs=0.3)


@pytest.mark.slow
def test_a_long_graph_agrees_with_the_law() -> None:
    subject = family_subject(ModelSpec(name="lstm", execution="cell", hidden_size=8), 2)
    found = cost(record(subject, 1024))
    assert (found.depth_ops, found.work_ops) == (15 * 1024 - 2, 35 * 1024 - 3)


def test_the_sample_and_its_rewritten_twin_compute_the_same() -> None:
    from seqprof.workloads.targets import call_target

    samples = Path(__file__).parents[2] / "sample_configs"
    loop, rewritten = (
        call_target(f"sequential_dependency:{name}", samples, {}, "target").double()
        for name in ("build", "build_rewritten")
    )
    rewritten.load_state_dict(loop.state_dict())
    tokens = torch.randint(0, 256, (2, 20), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loop(tokens), rewritten(tokens), rtol=1e-12, atol=1e-12)
