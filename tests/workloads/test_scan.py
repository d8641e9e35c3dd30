"""The parallel scan: right for any operator and length, and logarithmic forward and backward."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seqprof.spec import ModelSpec
from seqprof.workloads.families.scan import (
    Elements,
    LinearRecurrence,
    associative_scan,
    combine_linear,
    combine_log_linear,
)
from seqprof.workloads.registry import find_family


def affine(earlier: Elements, later: Elements) -> Elements:
    """Composition of maps x ↦ Ax + b: associative, but A₁A₂ is not A₂A₁."""
    (a1, b1), (a2, b2) = earlier, later
    return a2 @ a1, (a2 @ b1.unsqueeze(-1)).squeeze(-1) + b2


@settings(deadline=None, max_examples=30)
@given(timesteps=st.integers(1, 40), seed=st.integers(0, 99))
def test_it_keeps_the_order_of_operands_that_do_not_commute(timesteps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(2, timesteps, 3, 3, dtype=torch.float64, generator=generator) / 2
    b = torch.randn(2, timesteps, 3, dtype=torch.float64, generator=generator)
    (products, states) = associative_scan(affine, (a, b))
    product, state = torch.eye(3, dtype=torch.float64).expand(2, 3, 3), torch.zeros_like(b[:, 0])
    for t in range(timesteps):
        product = a[:, t] @ product
        state = (a[:, t] @ state.unsqueeze(-1)).squeeze(-1) + b[:, t]
        torch.testing.assert_close(products[:, t], product)
        torch.testing.assert_close(states[:, t], state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("timesteps", [1, 2, 3, 12, 33])
def test_gradients_are_those_of_the_loop(dtype: torch.dtype, timesteps: int) -> None:
    torch.manual_seed(0)
    a = torch.randn(1, timesteps, 4, dtype=dtype)  # broadcasts over the batch
    b = torch.randn(3, timesteps, 4, dtype=dtype)
    found = []
    for sequential in (False, True):
        inputs = [x.clone().requires_grad_() for x in (a, b)]
        h = LinearRecurrence(sequential=sequential)(*inputs)
        loss = (h * h.conj()).real.sin().sum()
        found.append([h.detach(), *torch.autograd.grad(loss, inputs, materialize_grads=True)])
    for scanned, looped in zip(*found, strict=True):
        torch.testing.assert_close(scanned, looped, rtol=1e-10, atol=1e-10)


def test_logarithms_reach_where_numbers_do_not() -> None:
    """A product of 2000 numbers near 0.5 is no float32, and its logarithm is one."""
    log_a = torch.full((1, 2000, 1), 0.5).log()
    log_b = torch.full((1, 2000, 1), -500.0)
    log_b[:, 0] = 0.0
    found = associative_scan(combine_log_linear, (log_a, log_b))[1]
    expected = log_a.cumsum(1) - log_a[:, :1]
    torch.testing.assert_close(found[:, :600], expected[:, :600])
    assert found.isfinite().all()


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations that compute."""

    operations: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(model: dict[str, Any], timesteps: int) -> int:
    spec = ModelSpec.model_validate({"hidden_size": 8, **model})
    body = find_family(model["name"]).load_builder()(spec, 8).to("meta")
    inputs = torch.empty(2, timesteps, 8, device="meta", requires_grad=True)
    counter = Count()  # type: ignore[no-untyped-call]
    with counter:
        body(inputs)[0].sum().backward()
    return counter.operations


@pytest.mark.parametrize("name", ["mingru", "minlstm", "ssm", "mamba"])
def test_forward_and_backward_launch_a_number_of_operations_linear_in_log_t(name: str) -> None:
    """All operations together, so the longest chain of them cannot grow faster."""
    counts = [operations({"name": name}, 2**k) for k in (5, 6, 7, 8)]
    steps = {later - before for before, later in pairwise(counts)}
    assert len(steps) == 1
    assert 0 < steps.pop() < 64
    assert operations({"name": name}, 200) < 2 * counts[-1]
    looped = [operations({"name": name, "execution": "sequential"}, t) for t in (32, 64, 96)]
    assert looped[2] - looped[1] == looped[1] - looped[0] >= 32


@pytest.mark.parametrize(
    "model",
    [
        {"name": "linear-attention"},
        {"name": "retention"},
        {"name": "mlstm"},
        {"name": "mamba", "transition": "scalar"},
        {"name": "tcn", "layers": 2},
    ],
    ids=lambda model: model["name"],
)
def test_parallel_forms_launch_the_same_operations_at_any_length(model: dict[str, Any]) -> None:
    assert operations(model, 16) == operations(model, 512)
    if model["name"] != "tcn":
        chunked = {**model, "execution": "chunked", "chunk": 16}
        counts = [operations(chunked, t) for t in (64, 128, 192)]
        assert counts[2] - counts[1] == counts[1] - counts[0]
        assert counts[2] - counts[1] < 64 * 2  # by chunks, not by timesteps


def test_the_linear_operator_is_associative() -> None:
    a, b, c = (
        (torch.randn(2, 1, 3, dtype=torch.float64), torch.randn(2, 1, 3, dtype=torch.float64))
        for _ in range(3)
    )
    left: tuple[Tensor, ...] = combine_linear(combine_linear(a, b), c)
    torch.testing.assert_close(left, combine_linear(a, combine_linear(b, c)))
