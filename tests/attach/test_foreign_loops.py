"""Loops of many kinds, watched in this process: what an iteration is, and its counts."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from watched_loops import Cells, batches, counts, loader, update, watched


def adversaries(data: Any) -> None:
    """Two optimizers and two backwards a step."""
    generator, critic = Cells(), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    first, second = (torch.optim.Adam(m.parameters()) for m in (critic, generator))
    for batch in data:
        x = batch[0] if isinstance(batch, list) else batch
        fake = generator(torch.randn_like(x))
        first.zero_grad()
        (critic(fake.detach()).mean() - critic(x).mean()).backward()
        first.step()
        second.zero_grad()
        (-critic(fake).mean()).backward()
        second.step()


@pytest.mark.parametrize("fetched", [True, False])
def test_a_gan_has_two_updates_a_step(fetched: bool) -> None:
    loop, _ = watched(lambda: adversaries(loader() if fetched else batches()))
    assert loop.boundary == ("fetch" if fetched else "optimizer")
    assert counts(loop) == (12, 24, 24, 0)
    assert set(loop.optimizers) == {"Adam"}
    assert loop.timestep_modules == ("cell",)


def test_gradients_are_accumulated() -> None:
    def run() -> None:
        model = Cells()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for index, (x,) in enumerate(loader(), 1):
            (model(x).square().mean() / 3).backward()
            if index % 3 == 0:
                optimizer.step()
                optimizer.zero_grad()

    loop, trial = watched(run)
    assert counts(loop) == (4, 12, 4, 0)
    assert trial.workload.micro_batches == 3
    assert loop.iterations[3].timesteps == (7, 7, 7)


def test_an_update_that_the_scaler_refuses() -> None:
    def run() -> None:
        model = Cells()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for index, (x,) in enumerate(loader()):
            optimizer.zero_grad()
            loss = model(x).square().mean() * (float("inf") if index == 8 else 1.0)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 11, 1)
    assert loop.iterations[8].skipped == 1


def test_by_hand_without_optimizer_and_backward() -> None:
    def run() -> None:
        weights = torch.randn(4, 4, requires_grad=True)
        for x in batches():
            (gradient,) = torch.autograd.grad((x @ weights).square().mean(), [weights])
            with torch.no_grad():
                weights.sub_(gradient, alpha=0.1)

    loop, _ = watched(run)
    assert loop.boundary == "backward"
    assert counts(loop)[0] == 12
    assert "forward" not in loop.iterations[5].phases_s
    assert any(sentence.startswith("forward, loss and data") for sentence in loop.unknown)


def test_inference_has_no_training_phase() -> None:
    def run() -> None:
        model = Cells().eval()
        with torch.inference_mode():
            for (x,) in loader():
                model(x)

    loop, trial = watched(run)
    assert len(loop.iterations) == 12
    assert [latency.phase for latency in trial.latencies] == ["forward"]
    assert loop.iterations[6].timesteps == (7,)
    assert set(loop.iterations[6].phases_s) <= {"data", "forward", "other"}
    assert loop.evaluation_batches == 0


def test_optimizers_of_other_models_change_nothing() -> None:
    left_over = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    test_inference_has_no_training_phase()
    test_by_hand_without_optimizer_and_backward()
    assert left_over.param_groups


def test_a_teacher_inside_a_step_is_no_evaluation() -> None:
    def run() -> None:
        teacher, student = Cells(), Cells()
        optimizer = torch.optim.SGD(student.parameters(), 0.1)
        for (x,) in loader():
            with torch.no_grad():
                wanted = teacher(x)
            update(optimizer, F.mse_loss(student(x), wanted))

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.evaluation_batches == 0
    assert loop.iterations[5].timesteps == (7,)


def test_evaluation_before_and_between() -> None:
    def run() -> None:
        model, held = Cells(), loader(2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        def evaluate() -> None:
            with torch.no_grad():
                for (x,) in held:
                    model(x)

        evaluate()
        for index, (x,) in enumerate(loader()):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            if index % 4 == 3:
                evaluate()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.evaluation_batches == 2 + 3 * 2


def test_lengths_that_vary_are_those_of_each_step() -> None:
    def run() -> None:
        model = Cells()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for index in range(12):
            optimizer.zero_grad()
            model(torch.randn(3, 5 + index % 4, 4)).square().mean().backward()
            optimizer.step()

    loop, trial = watched(run)
    assert [i.timesteps for i in loop.iterations[2:]] == [(5 + n % 4,) for n in range(2, 12)]
    assert {latency.loop for latency in trial.latencies} == {"cell"}


def test_a_root_that_is_called_each_timestep() -> None:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = self.cell(x, h * 1.0)
            return self.head(h), h

    def run() -> None:
        policy = Policy()
        optimizer = torch.optim.SGD(policy.parameters(), 0.1)
        for x in batches():
            with torch.no_grad():
                h = torch.zeros(5, 8)
                for part in x.unbind(1):
                    _, h = policy(part, h)
            h, outputs = torch.zeros(5, 8), []
            for part in x.unbind(1):
                output, h = policy(part, h)
                outputs.append(output)
            update(optimizer, torch.stack(outputs).square().mean())

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.rollout_forwards == 12 * 7
    assert loop.timestep_modules == ("cell",)
    assert loop.iterations[6].timesteps == (7,)
    assert loop.iterations[6].phases_s["rollout"] > 0


def test_a_failed_step_is_tried_again() -> None:
    def run() -> None:
        model = Cells()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for index, (x,) in enumerate(loader()):
            for attempt in range(2):
                try:
                    optimizer.zero_grad()
                    loss = model(x if attempt or index != 7 else x[..., :2]).square().mean()
                except RuntimeError:
                    continue
                loss.backward()
                optimizer.step()
                break

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)


def test_a_compiled_model_is_left_alone() -> None:
    def run() -> None:
        model: Any = torch.compile(Cells(), backend="eager")
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for (x,) in loader():
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    loop, trial = watched(run)
    assert loop.compiled
    assert counts(loop) == (12, 12, 12, 0)
    assert loop.iterations[5].phases_s["forward"] > 0
    assert trial.timesteps_reason == "the model is compiled: its timesteps are no longer calls"


def test_forked_workers_record_nothing() -> None:
    def run() -> None:
        model = Cells()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for (x,) in loader(num_workers=1):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert counts(loop) == (12, 12, 12, 0)


def test_two_cells_make_one_timestep() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList([nn.GRUCell(4, 4), nn.GRUCell(4, 4)])

        def forward(self, x: torch.Tensor, state: list[torch.Tensor]) -> torch.Tensor:
            outputs = []
            for below in x.unbind(1):
                for depth, cell in enumerate(self.cells):
                    state[depth] = below = cell(below, state[depth])
                outputs.append(below)
            return torch.stack(outputs, 1)

    def run() -> None:
        model = Stack()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for x in batches():
            optimizer.zero_grad()
            model(x, [torch.zeros(5, 4), torch.zeros(5, 4)]).square().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert loop.timestep_modules == ("cells.0", "cells.1")
    assert loop.iterations[5].timesteps == (7,)
