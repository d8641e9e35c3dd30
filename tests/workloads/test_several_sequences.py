"""Where T is where a batch holds several sequences, none that says so, or a list of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.spec import Spec
from seqprof.workloads.build import build, count_parameters
from seqprof.workloads.parameters import is_length_name
from seqprof.workloads.step import TrainingStep

FOLDER = Path(__file__).parents[1]


def step_of(model: str, batches: str, own_step: bool = False) -> TrainingStep:
    """A training step of a model and batches of ``tests/paired_models.py``."""
    train: dict[str, Any] = {"step": f"paired_models:{batches}_step"} if own_step else {}
    spec = Spec.model_validate(
        {
            "model": {"target": f"paired_models:{model}"},
            "data": {"target": f"paired_models:{batches}_batches"},
            "train": train,
        }
    )
    return TrainingStep(build(spec, FOLDER), spec, torch.device("cpu"))


@pytest.mark.parametrize(
    ("model", "batches", "own_step", "sizes", "words"),
    [
        ("Translator", "translator", True, (12, 4), "inputs['target'] is [T, B]"),
        ("Synthesizer", "synthesizer", True, (24, 3), "inputs['frames'] is [B, T]"),
        ("Field", "field", False, (13, 6), "targets is [T, B]"),
        ("Copier", "copier", False, (9, 4), "is called 17 times with 4 rows"),
        ("Summing", "summing", False, (9, 4), "the sizes of the first batches: 9, 6, 13"),
        ("Forecaster", "forecaster", False, (16, 5), "inputs['past'] is [B, T]"),
        ("Padding", "listed", False, (11, 3), "inputs is a list of 3 sequences"),
        ("Padding", "numbers", False, (11, 3), "inputs is a list of 3 sequences"),
    ],
)
def test_time_is_of_the_sequence_that_the_model_goes_along(
    model: str, batches: str, own_step: bool, sizes: tuple[int, int], words: str
) -> None:
    step = step_of(model, batches, own_step)
    assert (step.timesteps, step.batch_size) == sizes
    assert words in (step.facts.time or "")
    result = step.run()  # the batches that were looked at are trained on, in their order
    assert (result.timesteps, result.batch_sizes) == ((sizes[0],), (sizes[1],))


def test_sentences_of_words_are_gone_along_by_the_sentence_and_that_is_said() -> None:
    step = step_of("Sentences", "sentences")
    assert (step.timesteps, step.batch_size) == (6, 3)
    [incident] = step.incidents
    assert incident.kind == "layout_doubtful"
    assert "reads 9 timesteps, which makes inputs [B, ·, T]" in incident.detail


@pytest.mark.parametrize(
    ("model", "batches", "own_step"),
    [
        ("Translator", "translator", True),  # the sources, and their lengths, stay as they are
        ("Padding", "listed", False),
        ("Padding", "numbers", False),
        ("Lazy", "lazy", False),  # calls `view` on what a prefix makes of the targets
        ("Adversaries", "adversaries", True),  # needs gradients to be tried
    ],
)
def test_a_prefix_is_taken_as_the_model_needs_it(model: str, batches: str, own_step: bool) -> None:
    step = step_of(model, batches, own_step)
    assert step.prefixes.possible, step.prefixes.reason
    assert step.run(prefix=5).timesteps == (5,)


def test_lengths_of_another_sequence_say_nothing_of_padding() -> None:
    assert step_of("Translator", "translator", own_step=True).run().padded_positions is None


def test_positions_of_sequences_in_a_list_are_their_own() -> None:
    result = step_of("Padding", "listed").run()
    assert (result.positions, result.padded_positions) == (22, 0)


def test_a_scalar_is_the_loss_where_there_are_no_targets() -> None:
    step = step_of("Summing", "summing")
    step.run()
    assert "the scalar that the model returns" in step.facts.loss


def test_weights_that_come_with_the_first_forward_are_counted_after_it() -> None:
    step = step_of("Lazy", "lazy")
    assert count_parameters(step.model) == 50 * 8 + 2 * (8 * 24 + 24) + 9 * 50


@pytest.mark.parametrize(
    ("name", "expected"), [("src_len", True), ("mel_lens", True), ("max_length", False)]
)
def test_a_bound_is_no_length(name: str, expected: bool) -> None:
    assert is_length_name(name) is expected
