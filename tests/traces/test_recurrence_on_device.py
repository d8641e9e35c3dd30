"""Timesteps of what ran on a device: traces of the processor, each operator with a kernel."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import recurrent_models as models
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace

#: Operators that launch no kernel.
VIEWS = re.compile(
    r"aten::(?:empty|as_strided|view|_unsafe_view|narrow|slice|select|t$|transpose|permute|expand"
    r"|unsqueeze|squeeze|unsafe_chunk|chunk|split|unbind|detach|alias|resize_|result_type|to$)"
)


def on_device(tmp_path: Path, loss: models.Loss, **options: Any) -> DeviceSummary:
    """Inference on the processor, then as if each innermost operator had launched a kernel."""
    with torch.no_grad():
        loss()
        with profile(activities=[ProfilerActivity.CPU], **options) as profiler:
            loss()
    path = tmp_path / "trace.json"
    profiler.export_chrome_trace(str(path))
    document = json.loads(path.read_text())
    document["traceEvents"] += kernels(document["traceEvents"])
    path.write_text(json.dumps(document))
    (device,) = summarise(read_trace(path)).devices
    return device


def kernels(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    operators = [one for one in events if one.get("cat") == "cpu_op" and one["ph"] == "X"]
    operators.sort(key=lambda one: (one["ts"], -one["dur"]))
    made: list[dict[str, Any]] = []
    free = 0.0
    for number, (one, following) in enumerate(itertools.pairwise([*operators, {"ts": 1e18}])):
        end = one["ts"] + one["dur"]
        if following["ts"] < end or VIEWS.match(one["name"]):
            continue
        launch = one["ts"] + one["dur"] / 3
        start = max(launch + 4, free)
        free = start + one["dur"]
        arguments = {"correlation": number, "device": 0, "stream": 7}
        made += [
            {**one, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": launch,
             "dur": one["dur"] / 3, "args": arguments},
            {**one, "cat": "kernel", "name": f"{one['name'][6:]}_kernel", "pid": 0, "tid": 7,
             "ts": start, "dur": one["dur"], "args": arguments},
        ]  # fmt: skip
    return made


def stacked(timesteps: int) -> models.Loss:
    """Equal cells in a timestep: only the view that takes its input tells where one begins."""
    cells = [nn.GRUCell(16, 16) for _ in range(3)]

    def loss() -> torch.Tensor:
        x, states = torch.randn(8, timesteps, 16), [torch.zeros(8, 16)] * 3
        for t in range(timesteps):
            hidden = x[:, t]
            for row, cell in enumerate(cells):
                hidden = states[row] = cell(hidden, states[row])
        return hidden

    return loss


def encoder_and_decoder(source: int, target: int) -> models.Loss:
    """Equal cells over inputs that are not indexed; the decoder begins with a state of its own."""
    cells = [nn.GRUCell(16, 16) for _ in range(2)]

    def loss() -> torch.Tensor:
        inputs = [torch.randn(8, length, 16).unbind(1) for length in (source, target)]
        for cell, slices in zip(cells, inputs, strict=True):
            hidden = torch.zeros(8, 16)
            for x in slices:
                hidden = cell(x, hidden)
        return hidden

    return loss


@pytest.mark.parametrize("with_stack", [False, True])
@pytest.mark.parametrize(
    ("loss", "right"),
    [
        (stacked(21), [21]),
        (encoder_and_decoder(23, 11), [23, 11]),
        (models.sampled_characters(24), [24]),
        (models.convolutional_lstm(9), [9]),
    ],
)
def test_timesteps_on_a_device(
    tmp_path: Path, loss: models.Loss, right: list[int], with_stack: bool
) -> None:
    found = on_device(tmp_path, loss, with_stack=with_stack).recurrences
    assert [one.repeats for one in found] == right
    for one in found:
        assert len(one.latency_ns) == one.repeats
        assert 0 < one.coverage <= 1


@pytest.mark.parametrize("with_stack", [False, True])
def test_weights_cast_in_the_first_timestep_are_no_other_loop(
    tmp_path: Path, with_stack: bool
) -> None:
    cell, head = nn.LSTMCell(16, 16), nn.Linear(16, 8)

    def loss() -> torch.Tensor:
        x, hidden, state = torch.randn(8, 26, 16), torch.zeros(8, 16), torch.zeros(8, 16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for t in range(26):
                hidden, state = cell(x[:, t], (hidden, state))
            result: torch.Tensor = head(hidden)
        return result

    found = on_device(tmp_path, loss, with_stack=with_stack).recurrences
    assert [one.repeats for one in found] == [26]
