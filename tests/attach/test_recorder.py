"""What the agent stores, read again."""

from pathlib import Path
from threading import Thread
from time import perf_counter_ns
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.utils.data import DataLoader, dataloader
from watched_loops import Cells, loader

import seqprof
from seqprof.analysis.loop.kinds import WORDS, Kind
from seqprof.analysis.loop.log import decode
from seqprof.attach import recorder
from seqprof.attach.outside.gather import _used as read_used
from seqprof.attach.recorder import Recorder

FORWARD, BACKWARD = int(Kind.FORWARD_IN), int(Kind.BACKWARD_IN)


def stored(folder: Path) -> list[tuple[Kind, int]]:
    events = decode((folder / "a.events").read_bytes())
    assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)
    return [(Kind(event.kind), event.thread) for event in events]


def test_a_whole_span_is_two_events_and_those_inside_lie_between(tmp_path: Path) -> None:
    written = Recorder(str(tmp_path), "a", full=lambda: None)
    outer = perf_counter_ns()
    inner = perf_counter_ns()
    written.span(BACKWARD, inner)
    written.span(FORWARD, outer)
    assert [kind for kind, _ in stored(tmp_path)] == [
        Kind.FORWARD_IN, Kind.BACKWARD_IN, Kind.BACKWARD_OUT, Kind.FORWARD_OUT,
    ]  # fmt: skip


@pytest.mark.parametrize("last", ["span", "enter"])
def test_a_log_without_its_unused_room_has_its_last_event(tmp_path: Path, last: str) -> None:
    written = Recorder(str(tmp_path), "a", full=lambda: None)
    getattr(written, last)(FORWARD, perf_counter_ns())
    used = read_used(tmp_path / "a.events")
    assert len(used) < 100
    assert decode(used) == decode((tmp_path / "a.events").read_bytes()) != []


def test_a_thread_has_one_number_however_it_is_stored(tmp_path: Path) -> None:
    written = Recorder(str(tmp_path), "a", full=lambda: None)

    def other() -> None:
        written.span(FORWARD, perf_counter_ns())
        written.enter(FORWARD, perf_counter_ns())

    thread = Thread(target=other)
    thread.start()
    thread.join()
    written.enter(FORWARD, perf_counter_ns())
    assert [thread for _, thread in stored(tmp_path)] == [1, 1, 1, 0]


def test_a_full_log_is_told_of_and_holds_what_fits(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(recorder, "CAPACITY", 2)
    full: list[bool] = []
    written = Recorder(str(tmp_path), "a", full=lambda: full.append(True))
    for _ in range(3):
        written.span(FORWARD, perf_counter_ns())
    written.enter(FORWARD, perf_counter_ns())
    assert len(full) == 2
    assert len(stored(tmp_path)) == 2 * 2
    assert (tmp_path / "a.events").stat().st_size == 2 * WORDS * 8


def places() -> list[tuple[Any, dict[str, Any]]]:
    """Everything that a hook may replace, and what stands there."""
    owners: list[Any] = [
        torch, torch.autograd, torch.Tensor, torch.autocast, torch.amp.GradScaler,
        torch.optim.Optimizer, torch.optim.SGD, nn.Module, Cells, nn.GRUCell,
        dataloader._BaseDataLoaderIter, dataloader._SingleProcessDataLoaderIter, DataLoader,
    ]  # fmt: skip
    return [(owner, dict(vars(owner))) for owner in owners]


def test_nothing_is_left_after_the_window() -> None:
    model = Cells()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    instances = [(thing, set(vars(thing))) for thing in (*model.modules(), optimizer)]
    before = places()
    with seqprof.profile(steps=8, budget=10) as p:
        for x in loader(20):
            optimizer.zero_grad()
            model(x[0]).square().mean().backward()
            optimizer.step()
        # The window is over here; the block is not.
        changed = [
            (owner, name)
            for owner, attributes in before
            for name, value in vars(owner).items()
            if value is not attributes.get(name)
        ]
    assert changed == []
    assert len(p.recording.trials[0].steps) == 8
    for thing, names in instances:
        assert set(vars(thing)) == names
    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks
