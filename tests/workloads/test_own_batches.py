"""Batches and models of any form: each trains as it is, or one message says what to set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.errors import SeqprofError
from seqprof.recording import Phase
from seqprof.spec import Spec
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep
from seqprof.workloads.step_result import StepResult

FOLDER = Path(__file__).parents[1]
TAGGER = "Tagger"


def step_of(model: str, batches: str, kwargs: dict[str, Any] | None = None, **parts: Any) -> Any:
    """A training step of a model and batches of ``tests/own_batches.py``."""
    data = {"target": f"own_batches:{batches}_batches", **parts.pop("data", {})}
    if "step" in parts:
        parts["step"] = f"own_batches:{parts['step']}"
    if "loss" in parts:
        parts["loss"] = f"own_batches:{parts['loss']}"
    target = {"target": f"own_batches:{model}", "kwargs": kwargs or {}}
    spec = Spec.model_validate({"model": target, "data": data, "train": parts})
    return TrainingStep(build(spec, FOLDER), spec, torch.device("cpu"))


@pytest.mark.parametrize(
    ("model", "batches", "parts", "sizes", "layout"),
    [
        (TAGGER, "time_first", {}, (21, 4), "[T, B]"),
        (TAGGER, "batch_first", {"kwargs": {"first": True}}, (21, 4), "[B, T]"),
        (TAGGER, "square", {}, (16, 16), "[T, B]"),
        (TAGGER, "square", {"kwargs": {"first": True}}, (16, 16), "[B, T]"),
        ("Flattening", "flattened", {}, (21, 4), "[T, B]"),
        ("TensorLoop", "tensor_loop", {}, (33, 5), "[T, B]"),
        ("Convolved", "convolved", {}, (9, 2), "[B, ·, T]"),
        ("Packed", "packed", {}, (9, 4), "the packed sequence"),
        ("AskingForLengths", "lengths_last", {}, (19, 5), "the lengths"),
        ("AskingForLengths", "lengths_inside", {}, (19, 5), "the lengths"),
        ("AskingForLengths", "lengths_named", {}, (19, 5), "the lengths"),
        (TAGGER, "named_tuple", {}, (21, 4), "[T, B]"),
        (TAGGER, "dataclass", {}, (21, 4), "[T, B]"),
        ("Static", "static", {}, (30, 4), "inputs['series'] is [B, T]"),
        ("EncoderDecoder", "encoder_decoder", {}, (19, 4), "inputs[0] is [B, T]"),
        ("Double", "double", {}, (21, 4), "[B, T]"),
        (TAGGER, "iterable", {"kwargs": {"first": True}}, (13, 4), "[B, T]"),
        ("ByName", "by_name", {}, (17, 4), "inputs['input_ids'] is [B, T]"),
        ("LogitsAndLoss", "shifted", {}, (17, 4), "[B, T]"),
        ("Forced", "forced", {"step": "forced_step"}, (12, 4), "inputs[1] is [T, B]"),
        ("Agent", "agent", {"step": "agent_step"}, (40, 6), "inputs['obs'] is [T, B]"),
        (
            TAGGER,
            "ctc",
            {"step": "ctc_step", "kwargs": {"features": 8, "outputs": 10, "first": True}},
            (50, 4),
            "the lengths",
        ),
    ],
)
def test_a_batch_of_any_form_is_trained_on(
    model: str, batches: str, parts: dict[str, Any], sizes: tuple[int, int], layout: str
) -> None:
    step = step_of(model, batches, **parts)
    before = [p.detach().clone() for p in step.model.parameters()]
    result: StepResult = step.run()
    assert (result.timesteps, result.batch_sizes) == ((sizes[0],), (sizes[1],))
    assert (step.timesteps, step.batch_size) == sizes
    assert layout in step.facts.time
    assert step.incidents == ()
    assert any(not torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "batches", "parts"),
    [
        (TAGGER, "time_first", {}),
        ("Flattening", "flattened", {}),
        ("Packed", "packed", {}),
        ("AskingForLengths", "lengths_inside", {}),
        ("ByName", "by_name", {}),
        ("Convolved", "convolved", {}),
        ("Agent", "agent", {"step": "agent_step"}),
    ],
)
def test_a_prefix_of_any_form_is_taken(model: str, batches: str, parts: dict[str, Any]) -> None:
    step = step_of(model, batches, **parts)
    assert step.prefixes.possible, step.prefixes.reason
    assert step.run(prefix=5).timesteps == (5,)


def test_a_model_of_one_length_says_why_there_is_no_prefix() -> None:
    step = step_of("EncoderDecoder", "encoder_decoder")
    step.model.encoder.register_forward_pre_hook(_refuse_short)
    assert not step.prefixes.possible
    assert "19 timesteps, please" in step.prefixes.reason


def _refuse_short(_module: object, args: Any) -> None:
    if args[0].shape[1] < 19:
        raise ValueError("19 timesteps, please")


def test_what_speaks_for_no_layout_is_said() -> None:
    step = step_of("Pointwise", "tensor_loop")
    [incident] = step.incidents
    assert incident.kind == "layout_assumed"
    assert step_of("Pointwise", "tensor_loop", data={"time_dim": 0}).incidents == ()


def test_evidence_against_what_the_spec_says_is_said() -> None:
    step = step_of(TAGGER, "time_first", data={"time_dim": 1})
    [incident] = step.incidents
    assert (step.timesteps, incident.kind) == (4, "layout_doubtful")
    assert "batch_first=False" in incident.detail
    assert "[T, B] with T = 21, B = 4" in incident.detail


@pytest.mark.parametrize(
    ("model", "batches", "where"),
    [
        ("ByName", "by_name", "the `loss` of what the model returns"),
        ("LogitsAndLoss", "shifted", "item 1 of what the model returns"),
    ],
)
def test_a_loss_of_the_models_own_is_taken_and_said(model: str, batches: str, where: str) -> None:
    step = step_of(model, batches)
    step.run()
    assert where in step.facts.loss


def test_padding_is_known_from_lengths_alone() -> None:
    assert step_of("AskingForLengths", "lengths_last").run().padded_positions == 95 - 60
    assert step_of(TAGGER, "time_first").run().padded_positions is None
    assert step_of("Packed", "packed").run().positions == 25


# State that goes on ---------------------------------------------------------------------------


class _Phases(list[Phase]):
    def enter(self, phase: Phase) -> None:
        self.append(phase)

    def end(self) -> None:
        pass


def test_state_goes_on_and_each_chunk_is_an_update() -> None:
    bptt = {"truncate": 35, "update": "chunk", "carry": True}
    step = step_of("Stateful", "stateful", bptt=bptt)
    phases = _Phases()
    step.run(phases)
    chunk = ["forward", "loss", "backward", "optimizer"]
    assert phases == ["data", *chunk, *chunk]
    step.run()
    third = step.run()  # of three sequences: it cannot go on with the state of six
    assert third.batch_sizes == (3,)
    assert step.model.began_at_zero == [True, False, False, False, True, False]


def test_state_of_a_batch_ends_with_it_unless_it_is_carried() -> None:
    step = step_of("Stateful", "stateful", bptt={"truncate": 35})
    phases = _Phases()
    step.run(phases)
    step.run()
    assert phases.count("optimizer") == 1
    assert step.model.began_at_zero == [True, False, True, False]


class _Spans(list[tuple[int, int]]):
    def begin_forward(self, start: int, stop: int) -> None:
        self.append((start, stop))

    def end_forward(self) -> None:
        pass


def test_forwards_tile_a_step_whose_micro_batches_differ() -> None:
    spans = _Spans()
    step = step_of("Varying", "varying", accumulate=3)
    result = step.run(forwards=spans)
    assert result.timesteps == (9, 4, 6)
    assert spans == [(0, 9), (9, 13), (13, 19)]


def test_a_step_of_the_users_is_told_apart_into_forward_and_loss() -> None:
    phases = _Phases()
    step_of("Agent", "agent", step="agent_step").run(phases)
    assert phases == ["data", "forward", "loss", "backward", "optimizer"]


# What cannot be told --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batches", "parts", "message", "hint"),
    [
        (TAGGER, "three", {}, "it has 3 items; expected 2", "forward takes (x)"),
        (TAGGER, "words", {}, "it is a str, and no tensor is in it", "train.step"),
        (TAGGER, "inputs_alone", {}, "the batches have no targets", "train.loss"),
        ("Stateful", "stateful", {}, "`hidden` is no part of a batch", "train.bptt: {carry: true}"),
        ("Agent", "agent", {}, "forward takes (x, state, done)", "train.step"),
        (TAGGER, "time_first", {"loss": "unreduced"}, "returned float32 [84]", "a scalar tensor"),
        (TAGGER, "time_first", {"step": "item_step"}, "returned a float", "return the loss"),
        (TAGGER, "time_first", {"step": "detached_step"}, "depends on no parameter", ".detach()"),
        (TAGGER, "time_first", {"bptt": {"truncate": 5}}, "forward takes no state", "let forward"),
    ],
)
def test_what_cannot_be_told_says_what_to_set(
    model: str, batches: str, parts: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(SeqprofError) as caught:
        step_of(model, batches, **parts).run()
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
