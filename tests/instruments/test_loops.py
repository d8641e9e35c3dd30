"""Which submodules are found to be called once per timestep."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.instruments.loops import find_loops, named_loop

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


def forward_of(model: nn.Module) -> Callable[[int], Tensor]:
    return lambda length: model(torch.randn(length, SIZE))


def paths(model: nn.Module, lengths: list[int]) -> list[str]:
    return [loop.path for loop in find_loops(model, forward_of(model), lengths)]


def test_outermost_of_nested_modules_and_leader_of_those_that_take_turns() -> None:
    assert paths(TimestepMajor(), [8, 5]) == ["first"]


def test_loops_after_one_another_are_separate() -> None:
    assert paths(LayerMajor(), [8, 5]) == ["first", "second"]


def test_second_length_unmasks_a_coincidence() -> None:
    assert paths(Coincidence(), [8]) == ["activation"]
    assert paths(Coincidence(), [8, 5]) == []


@pytest.mark.parametrize("model", [nn.Linear(SIZE, SIZE), nn.RNN(SIZE, SIZE)])
def test_no_loop_where_one_call_handles_the_sequence(model: nn.Module) -> None:
    assert paths(model, [8, 5]) == []


def test_hooks_are_gone_afterwards() -> None:
    model = TimestepMajor()
    find_loops(model, forward_of(model), [8, 5])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_named_module_is_taken_with_its_own_count() -> None:
    model = TimestepMajor()
    loop = named_loop(model, "second.inner", lambda: model(torch.randn(6, SIZE)))
    assert (loop.path, loop.calls) == ("second.inner", 6)


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
        named_loop(model, path, lambda: model(torch.randn(6, SIZE)))
    assert words in f"{caught.value.message} {caught.value.hint}"
