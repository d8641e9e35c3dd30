"""T of loops that call several models, one model after another, or parts of one; unknown T."""

import re
from typing import Any

import pytest
import torch
from command_line import seqprof as command
from torch import nn
from watched_loops import Cells, batches, counts, sgd, train_step, update, watched

import seqprof
from seqprof import store


def lengths(loop: Any) -> list[tuple[int, ...]]:
    return [iteration.timesteps for iteration in loop.iterations if iteration.finished]


def test_models_that_are_trained_in_turns_have_each_their_own() -> None:
    def run() -> None:
        models = [Cells(), Cells()]
        optimizers = [sgd(model) for model in models]
        for short, long in zip(batches(), batches(timesteps=11), strict=True):
            for model, optimizer, x in zip(models, optimizers, (short, long), strict=True):
                train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert lengths(loop) == [(7, 11)] * 12


def test_the_model_of_the_next_trial_is_read_as_the_first_was() -> None:
    """The first is gone by then."""

    def run() -> None:
        for timesteps in (7, 9):
            model = Cells()
            optimizer = sgd(model)
            for x in batches(8, timesteps):
                train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert lengths(loop) == [(7,)] * 8 + [(9,)] * 8


class Reader(nn.Module):
    """[B, T, 4] → [B, 8]: the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.GRUCell(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(x.size(0), 8)
        for part in x.unbind(1):
            h = self.reader(part, h)
        return h


@pytest.mark.parametrize("late", [False, True])
def test_a_model_of_another_class_has_no_t_of_the_first(late: bool) -> None:
    """It is seen from its first step on if its optimizer is made then, else from the second."""

    def run() -> None:
        models: list[nn.Module] = [Cells(), Reader()]
        before = [sgd(model) for model in models]
        for model, made, timesteps in zip(models, before, (7, 9), strict=True):
            optimizer = made if late else sgd(model)
            for x in batches(8, timesteps):
                train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert lengths(loop) == [(7,)] * 8 + [()] * 8
    assert loop.roots == ("Cells", "Reader")
    assert all("forward" in iteration.phases_s for iteration in loop.iterations[8 + late :])


def test_each_forward_of_inference_from_the_second_on() -> None:
    """The first is what tells where T stands."""

    def run() -> None:
        model = Cells().eval()
        with torch.inference_mode():
            for timesteps in range(5, 17):
                model(torch.randn(3, timesteps, 4))

    loop, _ = watched(run)
    assert lengths(loop)[1:] == [(timesteps,) for timesteps in range(6, 17)]


class Policy(nn.Module):
    """A rollout calls its parts, an update all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 8), nn.Linear(8, 2)

    def act(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.cell(x, h)
        return self.out(h), h

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, outputs = x.new_zeros(x.size(0), 8), []
        for part in x.unbind(1):
            output, h = self.act(part, h)
            outputs.append(output)
        return torch.stack(outputs, 1)


def test_parts_that_are_called_alone_are_those_of_the_model() -> None:
    """Three updates follow each rollout of seven timesteps."""

    def run() -> None:
        model = Policy()
        optimizer = sgd(model)
        for _ in range(5):
            with torch.no_grad():
                h = torch.zeros(5, 8)
                for _ in range(7):
                    _, h = model.act(torch.randn(5, 4), h)
            for _ in range(3):
                train_step(model, optimizer, torch.randn(5, 7, 4))

    loop, trial = watched(run)
    assert counts(loop)[0] == 15
    assert lengths(loop) == [(7,)] * 15
    assert (loop.roots, loop.timestep_modules) == (("Policy",), ("cell",))
    assert trial.workload.parameters == sum(p.numel() for p in Policy().parameters())
    assert loop.evaluation_batches == 5 * 7  # of cell and output layer, which take turns


def test_validation_with_gradients_that_nobody_takes() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for index, x in enumerate(batches()):
            train_step(model, optimizer, x)
            if index % 3 == 2:
                model.eval()
                for y in batches(2, timesteps=9):
                    model(y).square().mean().item()
                model.train()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert lengths(loop) == [(7,)] * 12
    assert loop.evaluation_batches == 4 * 2


def test_a_model_that_is_always_in_evaluation_mode_trains() -> None:
    def run() -> None:
        model = Cells().eval()
        optimizer = sgd(model)
        for x in batches():
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert (counts(loop)[0], loop.evaluation_batches) == (12, 0)


def test_t_that_nothing_tells_is_unknown_everywhere(tmp_path: Any) -> None:
    """A backward for each timestep: the graph that is kept grows, and its length is no T."""
    torch.manual_seed(0)
    model = nn.GRUCell(4, 4)
    optimizer = sgd(model)
    with seqprof.profile(tmp_path / "run.json", budget=10) as p:
        for x in batches(6, timesteps=8):
            optimizer.zero_grad()
            h = torch.zeros(5, 4)
            for part in x.unbind(1):
                h = model(part, h)
                (h - part).square().mean().backward(retain_graph=True)
            optimizer.step()
    trial = p.recording.trials[0]
    assert trial.loop is not None
    assert lengths(trial.loop) == [()] * 6
    assert (trial.workload.timesteps, trial.workload.batch_size) == (None, None)
    assert store.load(tmp_path / "run.json").trials[0].workload == trial.workload
    for options in (
        (),
        ("--full",),
        ("-q",),
        ("-f", "markdown"),
        ("-f", "csv"),
        ("-f", "prometheus"),
    ):
        shown = command("show", tmp_path / "run.json", *options)
        assert shown.returncode == 0, shown.stderr
        assert re.search("T = [1-9]", shown.stdout) is None
        assert "per timestep: " not in shown.stdout
    assert "GRUCell: T unknown, batch size unknown" in command("show", tmp_path / "run.json").stdout


class Nested(nn.Module):
    """[B, S, W, 4]: a cell over the words of each sentence, one over the sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.sentences = nn.GRUCell(4, 8), nn.GRUCell(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outer = x.new_zeros(x.size(0), 8)
        for sentence in x.unbind(1):
            inner = torch.zeros_like(outer)
            for word in sentence.unbind(1):
                inner = self.words(word, inner)
            outer = self.sentences(inner, outer)
        return outer


def test_of_nested_loops_the_outer_one_has_the_timesteps() -> None:
    def run() -> None:
        model = Nested()
        optimizer = sgd(model)
        for x in torch.randn(12, 3, 5, 7, 4):
            train_step(model, optimizer, x)

    loop, _ = watched(run)
    assert lengths(loop) == [(5,)] * 12
    assert loop.timestep_modules == ("sentences",)


def test_a_generator_is_trained_after_three_updates_of_its_critic() -> None:
    def run() -> None:
        generator = nn.Sequential(Cells(), nn.Linear(4, 4))
        critic = Reader()
        optimizers = [sgd(critic), sgd(generator)]
        for _ in range(12):
            for x in batches(3):
                with torch.no_grad():
                    made = generator(x)
                update(optimizers[0], (critic(made) - critic(x)).mean())
            update(optimizers[1], -critic(generator(x)).mean())

    loop, trial = watched(run)
    assert counts(loop) == (12, 48, 48, 0)
    assert set(loop.timestep_modules) == {"reader", "0.cell"}
    assert {latency.loop for latency in trial.latencies} == {"reader", "0.cell"}


class Subsampled(nn.Module):
    """A strided convolution halves what the recurrence is given, by cells or fused."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 6, 3, stride=2, padding=1)
        self.cell, self.layer = nn.GRUCell(6, 8), nn.GRU(6, 8, batch_first=True)
        self.fused = fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.relu(self.convolution(x.transpose(1, 2))).transpose(1, 2)
        if self.fused:
            return self.layer(z)[0]  # type: ignore[no-any-return]
        h, states = z.new_zeros(z.size(0), 8), []
        for part in z.unbind(1):
            h = self.cell(part, h)
            states.append(h)
        return torch.stack(states, 1)


@pytest.mark.parametrize("fused", [False, True])
def test_t_inside_of_a_model_that_is_given_another_length(fused: bool) -> None:
    given = [13 + 2 * (index % 5) for index in range(14)]
    models = []

    def run() -> None:
        model = Subsampled(fused)
        models.append(model)
        optimizer = sgd(model)
        for length in given:
            train_step(model, optimizer, torch.randn(3, length, 4))

    loop, _ = watched(run)
    assert lengths(loop) == [((length + 1) // 2,) for length in given]
    assert loop.timesteps_source is not None
    assert ("'layer'" if fused else "'convolution'") in loop.timesteps_source
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in models[0].modules())


def test_t_of_packed_sequences_that_the_model_packs_itself() -> None:
    """It is given more padding than the longest has timesteps."""

    class Packs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(4, 8, batch_first=True)

        def forward(self, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, sizes, True, enforce_sorted=False)
            return self.layer(packed)[1]  # type: ignore[no-any-return]

    longest = [5 + index % 3 for index in range(14)]

    def run() -> None:
        model = Packs()
        optimizer = sgd(model)
        for length in longest:
            update(optimizer, model(torch.randn(3, 20, 4), [2, length, 3]).square().mean())

    loop, _ = watched(run)
    assert lengths(loop) == [(length,) for length in longest]


def test_beside_a_compiled_model_no_other_is_looked_for() -> None:
    """torch.compile would trace it anew."""
    original, changed = nn.Module.__call__, []

    def run() -> None:
        model: Any = torch.compile(Cells(), backend="eager")
        optimizer = sgd(model)
        for x in batches():
            optimizer.zero_grad()
            loss: Any = model(x).square().mean()
            loss.backward()
            optimizer.step()
            changed.append(nn.Module.__call__ is not original)

    loop, _ = watched(run)
    assert loop.compiled
    assert changed == [False] * 12
