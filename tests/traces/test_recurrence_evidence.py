"""Timesteps and layers told apart, in traces of models whose number of timesteps is known."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
import recurrent_models as models
import torch
from processor_traces import processor_of, traced
from torch import nn

from seqprof.analysis.timeline.summary import DeviceSummary


def timesteps(summary: DeviceSummary) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in summary.recurrences:
        found.setdefault(one.phase, []).append(one.repeats)
    return found


@pytest.mark.parametrize(
    ("loss", "right"),
    [
        (models.stacked_cells(13), [13]),
        (models.stacked_cells(9, cells=4), [9]),
        (models.layers_in_sequence(21), [21]),
        (models.own_cell(100), [100]),
        (models.own_cell(128, dropout=0.1), [128]),
        (models.loss_per_timestep(64), [64]),
        (models.encoder_and_decoder(20, 12), [20, 12]),
        (models.convolutional_lstm(9), [9]),
        (models.packed([23, 23, 20, 11, 11, 4]), [23]),
        (models.packed([3, 29, 7, 7, 11, 28, 2, 16]), [29]),
        (models.packed([17, 16, 12, 12, 6, 5], bidirectional=True), [17]),
        (models.packed([21, 20, 20, 3], nn.GRU, bidirectional=True, num_layers=2), [21]),
        (models.layers(12, tied=True), [12]),
        (models.fed_back(20, 12), [20, 12]),
        (models.fed_back(30, 5), [30, 5]),
        (models.unfused(nn.LSTM, 25, num_layers=2), [25]),
        (models.unfused(nn.GRU, 25, bidirectional=True), [25]),
        (models.linear_recurrence(40), [40]),
    ],
)
def test_timesteps_in_training(tmp_path: Path, loss: models.Loss, right: list[int]) -> None:
    found = timesteps(traced(tmp_path, loss))
    assert found == {"forward": right, "backward": right}


@pytest.mark.parametrize(
    "loss",
    [
        models.layers(8),
        models.layers(12, frozen=12),
        models.layers(8, frozen=5),
        models.shared_activation(12),
        models.shared_activation(12, frozen=True),
        models.one_timestep_of(8),
        models.trained_norms(12),
    ],
)
@pytest.mark.parametrize("with_stack", [False, True])
def test_layers_in_training_are_no_timesteps(
    tmp_path: Path, loss: models.Loss, with_stack: bool
) -> None:
    summary = traced(tmp_path, loss, with_stack=with_stack)
    assert summary.recurrences == ()
    assert {one.phase for one in summary.not_recurrent} == {"forward", "backward"}


def test_one_repeat_that_was_held_up_makes_no_timesteps_of_layers(tmp_path: Path) -> None:
    """What the layers share takes most of the first one's time, and less than half of the others'.

    As where a first call is slow: the products beside it take no time to speak of.
    """
    traced(tmp_path, models.shared_activation(12, frozen=True))
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e.get("ph") == "X" and "dur" in e]
    products = sorted((e for e in events if e["name"] == "aten::linear"), key=lambda e: e["ts"])
    for start, stop in [(e["ts"], e["ts"] + e["dur"]) for e in products[:2]]:
        for event in events:
            if event["tid"] == products[0]["tid"] and start <= event["ts"] < stop:
                event["ts"] = start + 0.02 * (event["ts"] - start)
                event["dur"] = 0.02 * event["dur"]
    held_up = tmp_path / "held_up.json"
    held_up.write_text(json.dumps(trace))
    assert processor_of(held_up).recurrences == ()


@pytest.mark.parametrize("timestep", [0, 25, 26])
def test_one_timestep_that_was_held_up_joins_no_loops(tmp_path: Path, timestep: int) -> None:
    """An activation of one timestep, also of the other direction's first, takes 3 ms."""
    traced(tmp_path, models.unfused(nn.GRU, 25, bidirectional=True))
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e.get("ph") == "X" and "dur" in e]
    names = Counter(e["name"] for e in events)
    name = next(n for n, count in names.items() if "tanh" in n and count == 50)
    at = sorted(e["ts"] for e in events if e["name"] == name)[timestep]
    for event in events:
        if event["ts"] > at:
            event["ts"] += 3000.0
        elif event["ts"] + event["dur"] > at:
            event["dur"] += 3000.0
    held_up = tmp_path / "held_up.json"
    held_up.write_text(json.dumps(trace))
    assert timesteps(processor_of(held_up)) == {"forward": [25], "backward": [25]}


@pytest.mark.parametrize(
    ("loss", "right"),
    [
        (models.sampled_characters(24), [24]),
        (models.sampled(12, depth=5), [12]),
        (models.encoder_and_decoder(20, 12), [20, 12]),
        (models.convolutional_lstm(9), [9]),
        (models.unfused(nn.LSTM, 25, bidirectional=True), [25]),
        (models.packed([25, 24, 11, 10, 2], nn.RNN, bidirectional=True), [25]),
    ],
)
def test_timesteps_in_inference_by_cells_gates_and_tokens(
    tmp_path: Path, loss: models.Loss, right: list[int]
) -> None:
    assert timesteps(traced(tmp_path, loss, training=False)) == {"other": right}


@pytest.mark.parametrize(
    ("loss", "right"),
    [
        (models.stacked_cells(13), [13]),
        (models.layers_in_sequence(21), [21]),
        (models.own_cell(30), [30]),
        (models.held_up(21, at=7), [21]),
        (models.sampled(9, depth=12), [9]),
        (models.denoised(15), [15]),
        (models.layers(12, tied=True), [12]),
        (models.fed_back(20, 12), [20, 12]),
        (models.layers(8), []),
        (models.torch_layers(6), []),
        (models.shared_activation(36), []),
        (models.one_timestep_of(8), []),
    ],
)
def test_a_trace_with_stacks_knows_which_modules_repeat(
    tmp_path: Path, loss: models.Loss, right: list[int]
) -> None:
    summary = traced(tmp_path, loss, training=False, with_stack=True)
    assert timesteps(summary) == ({"other": right} if right else {})
    assert {one.evidence for one in summary.recurrences} <= {"same module"}


@pytest.mark.parametrize(
    "loss",
    [models.layers(8), models.own_cell(30), models.denoised(15), models.updated_parameters(30)],
)
def test_what_a_trace_cannot_tell_is_said_with_what_would(
    tmp_path: Path, loss: models.Loss
) -> None:
    summary = traced(tmp_path, loss, training=False)
    assert summary.recurrences == ()
    (rejected,) = summary.not_recurrent
    assert "the trace cannot tell" in rejected.reason
    assert "with_stack=True" in rejected.reason


@pytest.mark.parametrize("options", [{}, {"with_stack": True}, {"record_shapes": True}])
def test_a_cell_that_is_compiled_anew_is_one_loop(tmp_path: Path, options: dict[str, bool]) -> None:
    cell = models.compiled_cell(20)
    cell().backward()  # type: ignore[no-untyped-call]
    assert timesteps(traced(tmp_path, cell, **options)) == {"forward": [20], "backward": [20]}


@pytest.mark.parametrize("with_stack", [False, True])
def test_compiled_layers_are_no_timesteps(tmp_path: Path, with_stack: bool) -> None:
    layers = models.compiled_layers(6)
    layers().backward()  # type: ignore[no-untyped-call]
    summary = traced(tmp_path, layers, with_stack=with_stack)
    assert summary.recurrences == ()
    assert {one.repeats for one in summary.not_recurrent} == {6}


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "record with torch.profiler's with_stack=True to know"),
        ({"with_stack": True}, "its modules do not; torch.profiler's record_shapes=True may"),
        ({"with_stack": True, "record_shapes": True}, "neither its modules nor its inputs do"),
    ],
)
def test_the_advice_is_none_that_was_followed(
    tmp_path: Path, options: dict[str, bool], advice: str
) -> None:
    loss = models.compiled_function(20)
    with torch.no_grad():
        loss()
    (rejected,) = traced(tmp_path, loss, training=False, **options).not_recurrent
    assert rejected.repeats == 20
    assert rejected.reason.endswith(f"the trace cannot tell; {advice}")


def test_recorded_inputs_show_that_each_repeat_takes_the_next_slice(tmp_path: Path) -> None:
    inputs, state = nn.Linear(16, 16), nn.Linear(16, 16)

    def loss() -> torch.Tensor:
        x, hidden = torch.randn(4, 30, 16), torch.zeros(4, 16)
        for t in range(30):
            hidden = torch.tanh(inputs(x[:, t]) + state(hidden))
        return hidden

    summary = traced(tmp_path, loss, training=False, record_shapes=True)
    assert [(one.repeats, one.evidence) for one in summary.recurrences] == [(30, "indexed inputs")]


def test_each_step_has_a_length_of_its_own(tmp_path: Path) -> None:
    lengths = itertools.chain([5], itertools.cycle([20, 31, 25, 12]))
    losses = {length: models.loss_per_timestep(length) for length in (5, 20, 31, 25, 12)}
    summary = traced(tmp_path, lambda: losses[next(lengths)](), steps=4)
    assert [one.repeats_by_pass for one in summary.recurrences] == [(20, 31, 25, 12)] * 2
    for one in summary.recurrences:
        assert "T differs from pass to pass: 20, 31, 25, 12" in one.remarks


def test_a_detached_state_makes_forward_and_backward_disagree(tmp_path: Path) -> None:
    summary = traced(tmp_path, models.detached(30, at=22))
    assert timesteps(summary) == {"forward": [30], "backward": [8]}
    forward, backward = summary.recurrences
    assert (forward.disagrees, backward.disagrees) == (False, True)
    assert any("the forward has T = 30" in remark for remark in backward.remarks)


def test_packed_sequences_have_a_batch_size_in_each_timestep(tmp_path: Path) -> None:
    loss = models.packed([9, 9, 7, 4])
    (forward, _) = traced(tmp_path, loss, record_shapes=True).recurrences
    assert forward.batch_sizes == (4, 4, 4, 4, 3, 3, 3, 2, 2)
    assert "batch size by timestep: 4 (0–3), 3 (4–6), 2 (7–8)" in forward.remarks
    (forward, _) = traced(tmp_path, loss).recurrences
    assert forward.batch_sizes == ()
    assert any("record_shapes=True" in remark for remark in forward.remarks)


def test_memory_set_aside_is_no_timestep(tmp_path: Path) -> None:
    x = torch.randn(8, 64, 64)

    def loss() -> torch.Tensor:
        for _ in range(4):
            torch.empty(3)
        return x @ x

    summary = traced(tmp_path, loss, training=False)
    assert summary.recurrences == ()
    assert [one.repeats for one in summary.not_recurrent] == [None]


def test_a_fused_call_has_no_timesteps(tmp_path: Path) -> None:
    model, x = nn.LSTM(32, 32, batch_first=True), torch.randn(8, 45, 32)
    summary = traced(tmp_path, lambda: model(x)[0].mean())
    assert summary.recurrences == ()
    reasons = {one.phase: one.reason for one in summary.not_recurrent}
    assert "one call takes most of the phase" in reasons["backward"]
