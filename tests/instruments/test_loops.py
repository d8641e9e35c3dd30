"""Which submodules are found to be called once per timestep."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.instruments.loops import (
    CallWatcher,
    TimestepLoop,
    Watched,
    find_loops,
    named_loops,
)
from seqprof.instruments.rules import Rule

SIZE = 4


class Cell(nn.Module):
    """A cell with a submodule of its own, which is called as often."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.inner(x + h))


class TimestepMajor(nn.Module):
    """Two layers that take turns in one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Cell(), Cell()

    def forward(self, x: Tensor) -> Tensor:
        a = b = torch.zeros(SIZE)
        for x_t in x.unbind():
            a = self.first(x_t, a)
            b = self.second(a, b)
        return b


class LayerMajor(nn.Module):
    """Two loops, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Cell(), Cell()

    def forward(self, x: Tensor) -> Tensor:
        for cell in (self.first, self.second):
            h, outputs = torch.zeros(SIZE), []
            for x_t in x.unbind():
                h = cell(x_t, h)
                outputs.append(h)
            x = torch.stack(outputs)
        return x


class Coincidence(nn.Module):
    """Calls one activation 8 times whatever the length."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(8):
            x = self.activation(x)
        return x


class Reversed(nn.Module):
    """One cell that is read forwards and then backwards, as tied directions are."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()

    def forward(self, x: Tensor) -> Tensor:
        a = b = torch.zeros(SIZE)
        for x_t in x.unbind():
            a = self.cell(x_t, a)
        for x_t in reversed(x.unbind()):
            b = self.cell(x_t, b)
        return a + b


class Counted(nn.Module):
    """A cell that is called as often as ``calls`` says."""

    def __init__(self, calls: Callable[[int], int]) -> None:
        super().__init__()
        self.cell, self.calls = Cell(), calls

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(SIZE)
        for _ in range(self.calls(len(x))):
            h = self.cell(x[0], h)
        return h


class SharedEntry(nn.Module):
    """Its entry reads the source at once, then each target but the last: T times by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.cell = nn.Linear(SIZE, SIZE), Cell()

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.entry(x).mean(0)
        for x_t in x[:-1].unbind():
            h = self.cell(self.entry(x_t), h)
        return h


class Failing(nn.Module):
    """A model whose forward does not end well."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()

    def forward(self, x: Tensor) -> Tensor:
        self.cell(x[0], x[0])
        raise ValueError("planted")


def watch(model: nn.Module, lengths: list[int]) -> list[Watched]:
    watcher = CallWatcher(model)
    with watcher.watching():
        for length in lengths:
            watcher.begin_forward(0, length)
            model(torch.randn(length, SIZE))
            watcher.end_forward()
    return watcher.forwards


def loops(model: nn.Module, lengths: list[int]) -> list[TimestepLoop]:
    return find_loops(watch(model, lengths))


def paths(model: nn.Module, lengths: list[int]) -> list[str]:
    return [loop.path for loop in loops(model, lengths)]


def test_outermost_of_nested_modules_and_leader_of_those_that_take_turns() -> None:
    [loop] = loops(TimestepMajor(), [8, 5])
    assert loop.path == "first + second"  # named by what is repeated
    assert loop.module is not None
    assert loop.turns == ("second",)


def test_a_module_that_an_encoder_has_used_bounds_no_timestep_of_the_decoder() -> None:
    [loop] = loops(SharedEntry(), [8, 5])
    assert (loop.path, loop.rule) == ("cell + entry", Rule(more=-1))


def test_loops_after_one_another_are_separate() -> None:
    assert paths(LayerMajor(), [8, 5]) == ["first", "second"]


def test_second_length_unmasks_a_coincidence() -> None:
    assert paths(Coincidence(), [8]) == ["activation"]
    assert paths(Coincidence(), [8, 5]) == []


@pytest.mark.parametrize("model", [nn.Linear(SIZE, SIZE), nn.RNN(SIZE, SIZE)])
def test_no_loop_where_one_call_handles_the_sequence(model: nn.Module) -> None:
    assert paths(model, [8, 5]) == []


@pytest.mark.parametrize(
    ("calls", "rule"),
    [
        (lambda n: n - 1, Rule(more=-1)),
        (lambda n: n + 1, Rule(more=1)),
        (lambda n: 3 * n, Rule(times=3)),
        (lambda n: n // 2, Rule(every=2)),
        (lambda n: (n + 3) // 4, Rule(every=4, rounds_up=True)),
        (lambda n: 2 * n - 2, Rule(times=2, more=-2)),
    ],
)
def test_calls_that_are_not_one_a_timestep_are_taken_as_they_are(
    calls: Callable[[int], int], rule: Rule
) -> None:
    [loop] = loops(Counted(calls), [65, 38])
    assert loop.rule == rule
    for timesteps in (10, 17, 31):
        assert loop.rule.calls(timesteps) == calls(timesteps)
        assert loop.positions(timesteps) == calls(timesteps) // rule.times


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (lambda n: 2 * n - 1, "2 a timestep, 1 less in all"),
        (lambda n: 3 * n + 2, "3 a timestep, 2 more in all"),
        (lambda n: n + n // 2, "3 for 2 timesteps"),
        (lambda n: n + (n + 3) // 4, "5 for 4 timesteps"),
    ],
)
def test_calls_in_passes_of_uneven_length_are_spans_each(
    calls: Callable[[int], int], words: str
) -> None:
    [loop] = loops(Counted(calls), [65, 38])
    assert (loop.rule.words, loop.by_call, loop.calls_per_position) == (words, True, 1)
    for timesteps in (10, 17, 31):
        assert loop.positions(timesteps) == calls(timesteps)
    assert [loop.index(position, 10) for position in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    "calls",
    # The second: as often at every length, which one call for ten timesteps would be as well here.
    [lambda n: n * n // 7 + 3, lambda n: 2],
)
def test_calls_that_follow_no_rule_are_no_loop(calls: Callable[[int], int]) -> None:
    assert loops(Counted(calls), [20, 11]) == []


def test_passes_over_the_sequence_are_told_from_calls_within_a_timestep_by_their_inputs() -> None:
    forwards, backwards = loops(Reversed(), [8, 5])
    assert (forwards.passes, forwards.reverse, backwards.reverse) == (2, False, True)
    assert [loop.positions(8) for loop in (forwards, backwards)] == [8, 8]
    assert [backwards.index(position, 8) for position in (0, 7)] == [7, 0]
    [within] = loops(Counted(lambda n: 2 * n), [8, 5])
    assert (within.passes, within.calls_per_position) == (1, 2)


def test_scripted_modules_take_no_hooks_and_are_watched_all_the_same() -> None:
    model = TimestepMajor()
    model.first = torch.jit.script(model.first)  # type: ignore[assignment]
    before = model.first.forward
    assert paths(model, [8, 5]) == ["first + second"]
    assert model.first.forward is before


@pytest.mark.parametrize("model", [TimestepMajor(), Failing()])
def test_models_are_left_as_they_were_also_when_they_fail(model: nn.Module) -> None:
    with suppress(ValueError):
        loops(model, [8, 5])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not any("forward" in m.__dict__ for m in model.modules())


def test_named_module_is_taken_with_its_own_count() -> None:
    model = TimestepMajor()
    [loop] = named_loops(model, "second.inner", watch(model, [6]))
    assert (loop.path, loop.rule.calls(6)) == ("second.inner", 6)


@pytest.mark.parametrize(
    ("path", "words"),
    [("secnd", "did you mean second"), ("", "no submodule ''"), ("activation", "1 times")],
)
def test_named_module_that_will_not_do(path: str, words: str) -> None:
    class Once(TimestepMajor):
        def __init__(self) -> None:
            super().__init__()
            self.activation = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.activation(super().forward(x))
            return output

    model = Once()
    with pytest.raises(SeqprofError) as caught:
        named_loops(model, path, watch(model, [6]))
    assert words in f"{caught.value.message} {caught.value.hint}"
