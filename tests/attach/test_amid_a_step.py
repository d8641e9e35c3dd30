"""Steps with more in them than one forward: validation at their top, a model that runs twice."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from watched_loops import Cells, counts, loader, sgd, train_step, update, watched

STEPS = 24


@pytest.mark.timing
@pytest.mark.parametrize("own_loader", [True, False])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_validation_at_the_top_of_the_loop_is_no_part_of_the_step(
    own_loader: bool, mode: str
) -> None:
    """`for step, x in enumerate(loader): if step % 4 == 0: validate(); …`."""

    def validate(model: nn.Module) -> None:
        model.train(mode == "train")
        with torch.no_grad():
            for x in [x for (x,) in loader(3)] if not own_loader else _unpacked(3):
                model(x.repeat(1, 30, 1))  # many times as long as a step of training
        model.train()

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for step, (x,) in enumerate(loader(STEPS)):
            if step % 4 == 0:
                validate(model)
            train_step(model, optimizer, x)

    loop, trial = watched(run)
    assert counts(loop) == (STEPS, STEPS, STEPS, 0)
    assert loop.evaluation_batches == 3 * STEPS // 4
    assert {iteration.timesteps for iteration in loop.iterations} == {(7,)}
    for iteration in loop.iterations:
        assert (iteration.evaluation_s > 0) is (iteration.index % 4 == 0)
    assert all(set(x.samples) == {max(x.samples)} for x in trial.latencies)
    # The forward of a step with validation in it is like the others': it is in no phase.
    validated, plain = (
        sorted(i.phases_s["forward"] for i in loop.iterations[4:] if (i.index % 4 == 0) is which)
        for which in (True, False)
    )
    least = [i.evaluation_s for i in loop.iterations[4:] if i.index % 4 == 0]
    assert validated[0] < min(least)
    assert validated[0] < 3 * plain[0]


def _unpacked(count: int) -> Iterator[torch.Tensor]:
    for (x,) in loader(count):
        yield x


def test_labels_that_the_model_gives_itself_are_part_of_each_step() -> None:
    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader(STEPS):
            with torch.no_grad():
                labels = model(x)
            update(optimizer, F.mse_loss(model(x + 0.1), labels))

    loop, _ = watched(run)
    assert counts(loop) == (STEPS, STEPS, STEPS, 0)
    assert loop.evaluation_batches == 0
    assert all(iteration.evaluation_s == 0 for iteration in loop.iterations)


@pytest.mark.parametrize("other", [7, 11])
def test_twins_run_the_loop_once_each(other: int) -> None:
    """A siamese model: its timesteps are those of each twin, not pairs of neighbours in one."""

    def run() -> None:
        model = Cells()
        optimizer = sgd(model)
        for (x,) in loader(STEPS):
            first, second = model(x), model(torch.randn(5, other, 4))
            update(optimizer, F.mse_loss(first.mean(1), second.mean(1)))

    loop, trial = watched(run)
    assert counts(loop) == (STEPS, STEPS, STEPS, 0)
    assert loop.timestep_modules == ("cell",)
    assert {i.timesteps for i in loop.iterations[2:]} == {(7, other)}
    probed = [step for step in trial.steps if step.kind == "probed"]
    for latency in trial.latencies:
        assert latency.samples[0] == 2 * len(probed)
        assert len(latency.samples) == max(7, other)
        assert latency.samples[-1] == (2 if other == 7 else 1) * len(probed)


def test_a_state_that_goes_from_call_to_call_makes_one_loop() -> None:
    """Chunks of one sequence before one backward: T is all of them."""

    class Chunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(4, 8)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            for part in x.unbind(1):
                h = self.cell(part, h)
            return h

    def run() -> None:
        model = Chunk()
        optimizer = sgd(model)
        for (x,) in loader(STEPS):
            h = x.new_zeros(5, 8)
            for part in x.repeat(1, 4, 1).split(7, dim=1):
                h = model(part, h)
            optimizer.zero_grad()
            h.square().mean().backward()
            optimizer.step()

    loop, trial = watched(run)
    assert counts(loop) == (STEPS, STEPS, STEPS, 0)
    assert {len(latency.samples) for latency in trial.latencies} == {28}


@pytest.mark.parametrize("lengths", [range(7, 14), range(13, 6, -1)], ids=["grows", "shrinks"])
@pytest.mark.parametrize("apart", [False, True], ids=["input's", "one more"])
def test_timesteps_where_t_is_another_in_each_step(lengths: range, apart: bool) -> None:
    """The explored steps are shorter than the marked ones, or longer; T is the input's or not."""

    class Longer(Cells):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(torch.cat((x, x[:, :1]), 1) if apart else x)

    def run() -> None:
        model = Longer()
        optimizer = sgd(model)
        for timesteps in lengths:
            for _ in range(3):
                train_step(model, optimizer, torch.randn(5, timesteps, 4))

    loop, trial = watched(run)
    assert counts(loop) == (21, 21, 21, 0)
    probed = [step for step in trial.steps if step.kind == "probed"]
    assert all(len(step.loops) == 2 for step in probed)
    for step in probed:
        for timing in step.loops:
            assert 0 < timing.host_s < step.phases[timing.phase].host_s
    for latency in trial.latencies:
        assert all(value is not None and value > 0 for value in latency.p50_s)
        assert latency.samples[0] == len(probed)


@pytest.mark.parametrize("batch", [5, 17])
def test_a_cell_called_twice_a_timestep_whatever_the_batch_and_the_dtype(batch: int) -> None:
    """Inputs that die with their call, whose addresses come again; a batch of about 2 T."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(4, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = x.new_zeros(x.size(0), 8)
            for t in range(x.size(1)):
                h = self.cell(x[:, t], h)
                h = self.cell(x[:, t], h)
            return h

    def run() -> None:
        model = Twice()
        optimizer = sgd(model)
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                train_step(model, optimizer, torch.randn(batch, 9, 4))

    loop, trial = watched(run)
    assert loop.timestep_modules == ("cell",)
    assert {iteration.timesteps for iteration in loop.iterations} == {(9,)}
    assert {len(latency.p50_s) for latency in trial.latencies} == {9}


@pytest.mark.parametrize("lengths", [[13] * STEPS, [13, 9, 21, 16] * (STEPS // 4)])
def test_t_of_a_loop_over_all_timesteps_but_one(lengths: list[int]) -> None:
    class Next(Cells):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x[:, :-1])

    def run() -> None:
        model = Next()
        optimizer = sgd(model)
        for timesteps in lengths:
            train_step(model, optimizer, torch.randn(5, timesteps, 4))

    loop, _ = watched(run)
    assert [iteration.timesteps for iteration in loop.iterations] == [(t - 1,) for t in lengths]
    assert loop.timesteps_source is not None
    assert loop.timesteps_source.endswith("of the model's call, less one")


def test_what_a_rollout_comes_before_is_the_step_that_it_is() -> None:
    """Acting without gradients comes first in each step: probed steps have marks, no others do."""

    def run() -> None:
        model, target = Cells(), Cells()
        optimizer = sgd(model)
        for x in torch.randn(STEPS, 5, 7, 4):
            with torch.no_grad():
                for _ in range(3):
                    model(x[:1])
                wanted = target(x)
            update(optimizer, F.mse_loss(model(x), wanted))

    loop, trial = watched(run)
    assert counts(loop) == (STEPS, STEPS, STEPS, 0)
    assert loop.rollout_forwards == 4 * STEPS
    kinds = [iteration.kind for iteration in loop.iterations]
    assert kinds[:4] == ["warmup"] * 4
    assert kinds[4:8] == ["bounded", "probed", "bounded", "metered"]
    assert [bool(step.loops) for step in trial.steps] == [s.kind == "probed" for s in trial.steps]
    assert [step.phases["forward"].cpu_s is not None for step in trial.steps] == [
        step.kind == "metered" for step in trial.steps
    ]


def test_actor_and_critic_have_their_own_timesteps() -> None:
    def run() -> None:
        actor, critic = Cells(), Cells()
        of_actor, of_critic = sgd(actor), sgd(critic)
        for x in torch.randn(STEPS, 5, 7, 4):
            train_step(critic, of_critic, x)
            update(of_actor, -(actor(x) * critic(x).detach()).mean())

    loop, _ = watched(run)
    assert counts(loop) == (STEPS, 2 * STEPS, 2 * STEPS, 0)
    assert {iteration.timesteps for iteration in loop.iterations[3:]} == {(7, 7, 7)}


class Token(nn.Module):
    """A layer for one token: what an encoder gives is its state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(20, 8), nn.GRU(8, 8)
        self.out = nn.Linear(8, 20)

    def forward(self, token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output, state = self.gru(self.embedding(token).view(1, 1, -1), state)
        return self.out(output[0]), state


def test_encoder_and_decoder_are_called_token_by_token() -> None:
    def run() -> None:
        encoder, decoder = Token(), Token()
        encoder.out.requires_grad_(False)
        optimizers = [sgd(encoder), sgd(decoder)]
        for _ in range(STEPS):
            source, target = torch.randint(0, 20, (9,)), torch.randint(0, 20, (6,))
            for optimizer in optimizers:
                optimizer.zero_grad()
            state, losses = torch.zeros(1, 1, 8), []
            for token in source:
                _, state = encoder(token, state)
            for token in target:
                output, state = decoder(token, state)
                losses.append(F.cross_entropy(output, token[None]))
            loss: Any = torch.stack(losses).sum()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    loop, trial = watched(run)
    assert counts(loop) == (STEPS, STEPS, 2 * STEPS, 0)
    assert {iteration.timesteps for iteration in loop.iterations} == {(9,)}
    lengths = sorted((latency.phase, len(latency.samples)) for latency in trial.latencies)
    assert lengths == [("backward", 6), ("backward", 9), ("forward", 6), ("forward", 9)]
    for latency in trial.latencies:
        assert all(value is not None and value > 0 for value in latency.p50_s)


def test_t_that_the_model_decides_itself_is_not_read_from_its_input() -> None:
    """Adaptive computation: one of the explored steps happened to use all of its input."""

    class Halting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(4, 8)
            self.used = iter([10, 16, *range(6, 16)] * STEPS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = x.new_zeros(x.size(0), 8)
            for part in x.unbind(1)[: next(self.used)]:
                h = self.cell(part, h)
            return h

    def run() -> None:
        model = Halting()
        optimizer = sgd(model)
        for _ in range(STEPS):
            train_step(model, optimizer, torch.randn(5, 16, 4))

    loop, trial = watched(run)
    said = [iteration.timesteps for iteration in loop.iterations]
    assert said[:2] == [(10,), (16,)]
    assert set(said[3:]) <= {()}
    assert {latency.loop for latency in trial.latencies} == {"cell"}
