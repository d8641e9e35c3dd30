"""`seqprof.profile` and `seqprof.watch` around a loop in this process."""

import gc
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import seqprof
from seqprof import store
from seqprof.analysis.run.summary import summarise
from seqprof.cli.app import command_line
from seqprof.errors import SeqprofError
from seqprof.recording import ForeignLoop


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(3, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(x.size(0), 8)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return h


class Loop:
    """A loop whose model and optimizer are there before anything is measured."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        torch.optim.lr_scheduler.StepLR(self.optimizer, 5)  # it keeps `step` as it is now
        self.loader = DataLoader(TensorDataset(torch.randn(96, 6, 3)), batch_size=4)

    def step(self, x: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = self.model(x).square().mean()
        loss.backward()
        self.optimizer.step()
        return float(loss)

    def run(self) -> list[float]:
        return [self.step(x) for (x,) in self.loader]


def loop_of(profile: Any) -> ForeignLoop:
    loop = profile.recording.trials[0].loop
    assert isinstance(loop, ForeignLoop)
    return loop


def test_a_loop_around_which_it_stands(tmp_path: Path) -> None:
    loop = Loop()
    with seqprof.profile(tmp_path / "run.json", budget=10) as p:
        loop.run()
    found = loop_of(p)
    assert found.boundary == "fetch"
    assert sum(iteration.updates for iteration in found.iterations) == 24
    assert found.timestep_modules == ("cell",)
    assert {iteration.timesteps for iteration in found.iterations} == {(6,)}
    assert store.load(tmp_path / "run.json") == p.recording


def test_the_result_is_that_of_the_loop_without_it() -> None:
    alone = Loop().run()
    with seqprof.profile():
        watched = Loop().run()
    assert watched == alone


def test_what_the_loop_lets_go_of_lives_no_longer_for_us() -> None:
    with seqprof.profile(budget=10) as p:
        loop = Loop()
        loop.run()
        gone = [weakref.ref(thing) for thing in (loop.model, loop.optimizer, loop.model.cell)]
        del loop
        gc.collect()
        assert [thing() for thing in gone] == [None] * 3
        Loop().run()
    assert loop_of(p).timestep_modules == ("cell",)


def test_nothing_of_it_is_left_after_the_window() -> None:
    from torch.optim import optimizer
    from torch.utils.data import dataloader

    def places() -> list[Any]:
        return [
            dataloader._BaseDataLoaderIter.__dict__["__next__"],
            torch.autograd.backward,
            torch.autograd.grad,
            optimizer.Optimizer.__dict__["zero_grad"],
            optimizer.Optimizer.__dict__["__init__"],
            torch.optim.SGD.__dict__["step"],
            nn.Module.__dict__["__call__"],
            nn.Module.__dict__["zero_grad"],
            dict(Model.__dict__).get("__call__"),
            dict(optimizer._global_optimizer_pre_hooks),
        ]

    loop = Loop()
    before = places()
    with seqprof.profile(steps=4):
        for _ in range(3):
            loop.run()
        assert places() == before  # the window is over, the block is not
    assert places() == before
    assert "forward" not in loop.model.cell.__dict__


def test_steps_that_the_program_tells() -> None:
    loop = Loop()
    batches = [x for (x,) in loop.loader]
    with seqprof.profile() as p:
        for pair in zip(batches[::2], batches[1::2], strict=True):
            for x in pair:
                loop.step(x)
            p.step()
    found = loop_of(p)
    assert found.boundary == "step"
    assert [iteration.updates for iteration in found.iterations] == [2] * 12


def test_an_exception_of_the_loop_passes_and_what_was_measured_stays() -> None:
    loop = Loop()

    def fails() -> None:
        with seqprof.profile() as p:
            profiles.append(p)
            loop.run()
            raise ValueError("the loop's own")

    profiles: list[Any] = []
    with pytest.raises(ValueError, match="the loop's own"):
        fails()
    assert len(loop_of(profiles[0]).iterations) == 24
    assert loop_of(profiles[0]).ended == "the block raised ValueError"


def test_a_block_without_a_loop_says_so() -> None:
    with seqprof.profile() as p:
        pass
    with pytest.raises(SeqprofError, match="no training step was seen"):
        p.report()


def test_the_report_is_a_table_and_in_a_notebook_a_page() -> None:
    with seqprof.profile() as p:
        Loop().run()
    assert "backward" in str(p.report())
    assert p.report()._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html')


def test_the_report_names_neither_a_seed_nor_bare_steps(tmp_path: Path) -> None:
    """seqprof sets no seed in a script, and each of its steps is stamped at its phases."""
    with seqprof.profile(tmp_path / "run.json", budget=10) as p:
        Loop().run()
    shown = (
        CliRunner().invoke(command_line(), ["show", str(tmp_path / "run.json"), "--full"]).output
    )
    assert "bounded and" in shown
    assert not re.search(r"\b(seed|bare)\b", shown)
    assert summarise(p.recording).header.seed is None


def test_watching_until_it_is_stopped(tmp_path: Path) -> None:
    loop = Loop()
    watching = seqprof.watch(loop.model, tmp_path / "run.json")
    loop.run()
    watching.stop()
    assert store.load(tmp_path / "run.json").trials[0].loop is not None
