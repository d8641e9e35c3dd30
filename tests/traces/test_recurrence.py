"""Timesteps found in traces of plain torch.profiler, on the processor, without any marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace


def traced(tmp_path: Path, loss: Callable[[], Tensor], steps: int = 1) -> DeviceSummary:
    """Train for some steps under the profiler; a first step is not recorded."""
    loss().backward()  # type: ignore[no-untyped-call]
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            loss().backward()  # type: ignore[no-untyped-call]
    path = tmp_path / "trace.json"
    profiler.export_chrome_trace(str(path))
    processor = summarise(read_trace(path)).processor
    assert processor is not None
    return processor


def lstm_loss(timesteps: int, with_outputs: bool) -> Callable[[], Tensor]:
    cell, head = nn.LSTMCell(8, 16), nn.Linear(16, 4)

    def loss() -> Tensor:
        hidden = state = torch.zeros(3, 16)
        outputs = []
        for x in torch.randn(timesteps, 3, 8).unbind(0):
            hidden, state = cell(x, (hidden, state))
            outputs.append(hidden)
        out = torch.stack(outputs) if with_outputs else hidden
        result: Tensor = head(out).square().mean()
        return result

    return loss


@pytest.mark.parametrize("timesteps", [5, 12, 64])
@pytest.mark.parametrize("with_outputs", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_loop_of_an_lstm_cell_is_found(
    tmp_path: Path, timesteps: int, with_outputs: bool, steps: int
) -> None:
    summary = traced(tmp_path, lstm_loss(timesteps, with_outputs), steps)
    found = {one.phase: one for one in summary.recurrences}
    assert {phase: one.repeats for phase, one in found.items()} == {
        "forward": timesteps,
        "backward": timesteps,
    }
    for one in found.values():
        assert one.evidence == "shared parameters"
        assert len(one.latency_ns) == len(one.gap_ns) == timesteps
        assert all(0 <= gap <= time for gap, time in zip(one.gap_ns, one.latency_ns, strict=True))


def test_a_gru_cell_indexed_by_timestep(tmp_path: Path) -> None:
    cell = nn.GRUCell(8, 16)

    def loss() -> Tensor:
        hidden, batch = torch.zeros(3, 16), torch.randn(3, 20, 8)
        for t in range(20):
            hidden = cell(batch[:, t], hidden)
        return hidden.square().mean()

    found = {one.phase: one.repeats for one in traced(tmp_path, loss).recurrences}
    assert found == {"forward": 20, "backward": 20}


def transformer() -> Callable[[], Tensor]:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 8, enable_nested_tensor=False)
    return lambda: model(torch.randn(2, 10, 16)).square().mean()


def convolutions() -> Callable[[], Tensor]:
    blocks = [nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(10)]
    model = nn.Sequential(*blocks)
    return lambda: model(torch.randn(2, 4, 32, 32)).square().mean()


@pytest.mark.parametrize("model", [transformer, convolutions])
def test_layers_are_not_taken_for_timesteps(
    tmp_path: Path, model: Callable[[], Callable[[], Tensor]]
) -> None:
    summary = traced(tmp_path, model())
    assert summary.recurrences == ()
    assert {one.phase for one in summary.not_recurrent} == {"forward", "backward"}
