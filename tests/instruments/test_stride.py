"""Which timesteps are marked, and that a budget is kept to."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from seqprof.instruments.clocks import host_clock_ns
from seqprof.instruments.stride import MarkCost, choose_stride, measure_mark_cost


@given(
    st.floats(0, 1e-5),
    st.floats(0, 1e-5),
    st.integers(2, 500),
    st.floats(1e-4, 1),
    st.floats(0.001, 0.5),
)
def test_the_stride_is_the_smallest_within_the_budget(
    call_s: float, mark_s: float, timesteps: int, step_s: float, budget: float
) -> None:
    cost = MarkCost(call_s, mark_s)
    stride = choose_stride(cost, timesteps, timesteps, step_s, budget)
    assert 1 <= stride <= timesteps
    assert stride != 2 or timesteps == 2
    within = cost.of_step(timesteps, stride) <= budget * step_s
    assert within or stride == timesteps
    if stride > 3:
        assert cost.of_step(timesteps, stride - 1) > budget * step_s


def test_an_accelerators_marks_are_priced_without_what_python_alone_pays() -> None:
    """T = 128 and 10 ms a step; a mark is 8 µs of driver and 0.5 µs of Python (estimates)."""
    cost = MarkCost(call_s=0.0, mark_s=8.5e-6, driver_s=8e-6)
    assert choose_stride(cost, 128, 128, 0.010, 0.01) < 48
    assert choose_stride(MarkCost(call_s=0.0, mark_s=8.5e-6), 128, 128, 0.010, 0.01) > 97


def test_the_cost_of_a_mark_is_measured_and_small_against_a_second() -> None:
    cost = measure_mark_cost(torch.device("cpu"), host_clock_ns, lambda: None)
    assert cost.mark_s > 0
    assert cost.of_step(100, 1) > cost.of_step(100, 10) > 0
