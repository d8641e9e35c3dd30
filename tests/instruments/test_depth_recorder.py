"""What consumes what: small graphs with a known answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan

from seqprof.analysis.depth.graph import STEP_PHASES, Cost, cost, critical_path
from seqprof.analysis.depth.laws import fit_law
from seqprof.analysis.depth.operation_graph import OperationGraph
from seqprof.instruments.depth import DepthRecorder
from seqprof.instruments.depth.recorder import Storage
from seqprof.instruments.depth.regions import (
    Region,
    covers,
    overlaps,
    region_of,
    touched_bytes,
)


def recorded(run: Callable[[], object]) -> OperationGraph:
    recorder = DepthRecorder()
    with recorder:
        run()
    return recorder.graph


def edges(graph: OperationGraph) -> list[tuple[str, str]]:
    return [
        (graph.names[source], graph.names[number])
        for number, sources in enumerate(graph.sources)
        for source in sources
    ]


def meta(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def test_a_chain_and_two_that_go_side_by_side() -> None:
    x = meta(4, 4)

    def run() -> None:
        y = x.exp()
        (y.sin() + y.cos()).sum()

    graph = recorded(run)
    assert cost(graph).work_ops == 5
    assert cost(graph).depth_ops == 4
    both = [("exp", "sin"), ("exp", "cos"), ("sin", "add"), ("cos", "add")]
    assert edges(graph) == [*both, ("add", "sum")]


def test_views_and_allocations_are_no_operations_and_pass_on_what_they_view() -> None:
    x = meta(4, 6)

    def run() -> None:
        y = x.exp()
        torch.empty(3, device="meta")
        y.view(6, 4).t()[1:].unsqueeze(0).expand(2, 3, 6).detach().sin()

    assert edges(recorded(run)) == [("exp", "sin")]


def test_an_in_place_chain_goes_on_through_the_view_and_through_the_base() -> None:
    def run() -> None:
        x = torch.zeros(4, 4, device="meta")
        x[1].add_(1)  # a view of a part
        x.mul_(2)  # the base: reads what the view wrote
        x.t()[:, 1].sin()  # another view of the same elements

    graph = recorded(run)
    assert ("add_", "mul_") in edges(graph)
    assert edges(graph)[-1] == ("mul_", "sin")
    assert cost(graph).depth_ops == 4


def test_disjoint_slices_of_one_storage_are_two_things() -> None:
    def run() -> None:
        gates = meta(3, 8).exp()
        left, right = gates.chunk(2, 1)  # interleaved in memory
        left.sigmoid_()
        right.tanh_()
        left.sin()
        right.cos()

    expected = [("exp", "sigmoid_"), ("exp", "tanh_"), ("sigmoid_", "sin"), ("tanh_", "cos")]
    assert edges(recorded(run)) == expected
    found = cost(recorded(run))
    # By storage alone the four would wait for each other, and the last two read what both wrote.
    assert (found.depth_ops, found.depth_ops_by_storage) == (3, 4)


def test_slices_that_share_one_element_depend() -> None:
    def run() -> None:
        x = meta(8).exp()
        x[:5].sin_()
        x[4:].cos_()

    assert ("sin_", "cos_") in edges(recorded(run))


def test_another_dtype_sees_the_same_bytes() -> None:
    def run() -> None:
        z = torch.empty(4, dtype=torch.complex64, device="meta").exp()
        torch.view_as_real(z)[:, 1].sin_()  # imaginary parts
        torch.view_as_real(z)[:, 0].cos()
        z.sqrt()

    found = edges(recorded(run))
    assert ("exp", "cos") in found
    assert ("sin_", "cos") not in found
    assert ("sin_", "sqrt") in found


def test_what_is_overwritten_unread_passes_nothing_on() -> None:
    x, y = meta(4), meta(4)

    def run() -> None:
        a = x.exp()
        a.copy_(y.sin())  # write after write: no flow from exp
        a.cos()
        a.zero_()
        a.tan()
        torch.add(x, y, out=a)
        a.sqrt()

    found = edges(recorded(run))
    assert found == [("sin", "copy_"), ("copy_", "cos"), ("zero_", "tan"), ("add", "sqrt")]


def test_a_write_after_a_read_does_not_wait_for_it() -> None:
    x = meta(4)

    def run() -> None:
        a = x.exp()
        a.sin()  # reads a
        a.fill_(0.0)  # memory must wait, data need not
        a.cos()

    graph = recorded(run)
    assert edges(graph) == [("exp", "sin"), ("fill_", "cos")]
    assert cost(graph).depth_ops == 2


def test_a_buffer_written_timestep_by_timestep() -> None:
    """Each row depends on the row before; rows further back are not between them."""

    def run() -> None:
        states = meta(2, 16, 3)  # [B, T, H]: rows of a timestep interleave
        for t in range(16):
            before = states[:, t - 1] if t else meta(2, 3)
            states[:, t] = before.exp()
        states.sum()

    graph = recorded(run)
    assert cost(graph).depth_ops == 2 * 16 + 1
    assert all(len(sources) <= 1 for sources in graph.sources[:-1])
    assert len(graph.sources[-1]) == 16


def test_shape_alone_is_not_consumed() -> None:
    def run() -> None:
        y = meta(4).exp()
        torch.ones_like(y).sin()
        y.new_zeros(3).cos()

    assert edges(recorded(run)) == [("ones_like", "sin"), ("new_zeros", "cos")]


def test_storages_that_are_gone_leave_nothing_behind() -> None:
    def run() -> None:
        for _ in range(50):
            meta(4).exp()
            meta(4).sin()  # must not see an exp whose storage had the same address

    assert edges(recorded(run)) == []


def test_an_operation_of_the_host_does_not_count() -> None:
    assert len(recorded(lambda: torch.ones(3).exp())) == 0


def test_flops_bytes_and_hidden_chains() -> None:
    a, b = meta(8, 16), meta(16, 32)

    def run() -> None:
        (a @ b).cumsum(1)
        a[:1].expand(8, 16).exp()

    graph = recorded(run)
    assert graph.flops == [2 * 8 * 16 * 32, 0, 0]
    assert graph.bytes_moved[0] == 4 * (8 * 16 + 16 * 32 + 8 * 32)
    assert graph.bytes_moved[2] == 4 * (16 + 8 * 16)  # an expanded row is read once
    assert graph.scans == {1: 32}
    assert cost(graph).depth_ops == 2
    assert cost(graph).depth_ops_scans_as_log2 == 1 + 5


def test_what_other_libraries_and_higher_order_operators_hide_is_named() -> None:
    with torch.library._scoped_library("seqprof_test", "FRAGMENT") as library:
        library.define("shifted(Tensor x) -> Tensor")
        library.impl("shifted", torch.empty_like, "Meta")

        def run() -> None:
            torch.ops.seqprof_test.shifted(meta(64, 3).exp()).sin()
            scan(lambda c, x: (c + x, c * x), meta(3), meta(64, 3).exp())

        graph = recorded(run)
    assert graph.names == ["exp", "seqprof_test::shifted", "sin", "exp", "higher_order::scan"]
    assert edges(graph) == [
        ("exp", "seqprof_test::shifted"),
        ("seqprof_test::shifted", "sin"),
        ("exp", "higher_order::scan"),
    ]
    assert graph.scans == {}  # nothing says that 64 timesteps of it could be a tree


def test_torchs_associative_scan_is_opened_up() -> None:
    def run() -> None:
        associative_scan(torch.add, meta(64, 3), 0, combine_mode="generic")

    graph = recorded(run)
    assert graph.scans == {}
    assert 6 <= cost(graph).depth_ops <= 4 * 6  # a tree over 64, with concatenations


def test_the_backward_is_seen_with_gradients_that_add_up() -> None:
    weight = torch.empty(4, 4, device="meta", requires_grad=True)
    recorder = DepthRecorder()
    with recorder:
        y = (meta(2, 4) @ weight) @ weight
        recorder.phase = "backward"
        y.backward(meta(2, 4))  # type: ignore[no-untyped-call]
    graph = recorder.graph
    assert graph.phases.count("forward") == 2
    # Forward mm, then: gradient to the first product, its weight gradient, the sum of both.
    assert [graph.names[n] for n in critical_path(graph, ("backward",))] == ["mm", "mm", "add"]


# Regions --------------------------------------------------------------------------------------


@st.composite
def strided(draw: st.DrawFn) -> Tensor:
    """A view of 48 bytes."""
    base = torch.arange(48, dtype=torch.uint8)
    dims = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    strides = [draw(st.integers(0, 12)) for _ in dims]
    extent = sum((n - 1) * s for n, s in zip(dims, strides, strict=True)) + 1
    offset = draw(st.integers(0, max(0, 48 - extent)))
    if extent > 48:
        dims, strides, offset = [4], [1], draw(st.integers(0, 44))
    return base.as_strided(dims, strides, offset)


def region(tensor: Tensor) -> Region:
    found = region_of(tensor)
    assert found is not None
    return found


def some_box(base: Tensor, data: st.DataObject, shape: tuple[int, ...] | None = None) -> Tensor:
    for dim, size in enumerate(base.shape):
        length = shape[dim] if shape else data.draw(st.integers(1, size))
        base = base.narrow(dim, data.draw(st.integers(0, size - length)), length)
    return base


@given(strided(), strided())
def test_regions_never_miss_what_is_shared(a: Tensor, b: Tensor) -> None:
    first, second = set(a.flatten().tolist()), set(b.flatten().tolist())
    if first & second:
        assert overlaps(region(a), region(b))
    if covers(region(a), region(b)):
        assert first >= second


@given(st.data())
def test_regions_are_exact_for_slices_of_one_tensor(data: st.DataObject) -> None:
    base = torch.arange(4 * 6 * 5, dtype=torch.uint8).view(4, 6, 5)

    # Whole rows merge into runs, which only the safe answers remain for.
    a, b = some_box(base, data), some_box(base, data)
    first, second = set(a.flatten().tolist()), set(b.flatten().tolist())
    assert touched_bytes(region(a)) == len(first)
    narrow = all(t.shape[1] < 6 and t.shape[2] < 5 for t in (a, b))
    if narrow:
        assert overlaps(region(a), region(b)) == bool(first & second)
        assert covers(region(a), region(b)) == (first >= second)


#: Boxes of one shape, at any place: timesteps of a buffer, or windows that slide over each other.
shapes = st.sampled_from([(4, 1, 5), (4, 6, 2), (2, 6, 5), (4, 1, 1), (1, 3, 5)])


@given(st.data(), st.none() | shapes)
def test_a_storage_never_forgets_who_wrote_what_is_read(
    data: st.DataObject, shape: tuple[int, int, int] | None
) -> None:
    """Against a list of the last writer of each byte."""
    base = torch.arange(4 * 6 * 5, dtype=torch.uint8).view(4, 6, 5)
    storage = Storage(base.untyped_storage())
    last = [-1] * base.numel()
    for operation in range(data.draw(st.integers(1, 12))):
        view = some_box(base, data, shape)
        storage.write(region(view), operation)
        for byte in view.flatten().tolist():
            last[byte] = operation
        for read in (some_box(base, data, shape), base):
            true = {last[byte] for byte in read.flatten().tolist()} - {-1}
            found = set(storage.writers(region(read)))
            assert true <= found
            if shape == (4, 1, 5):  # equal cells, so exact
                assert found == true


# Known models ---------------------------------------------------------------------------------


class Looped(nn.Module):
    """A cell, called for each timestep."""

    def __init__(self, cell: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell = cell(8, 16)  # type: ignore[call-arg]

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 16)
        state: Any = (h, h) if isinstance(self.cell, nn.LSTMCell) else h
        outputs: list[Tensor] = []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1)


class Fused(nn.Module):
    """torch's own layer."""

    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = layer(8, 16, batch_first=True)  # type: ignore[call-arg, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)[0]
        return output


def costs(model: nn.Module, *phases: str) -> dict[int, Cost]:
    found = {}
    model = model.to("meta")
    for timesteps in (4, 5, 7, 12, 16):
        model.zero_grad(set_to_none=True)
        recorder = DepthRecorder()
        with recorder:
            output = model(meta(2, timesteps, 8))
            recorder.phase = "loss"
            loss = output.sum()
            recorder.phase = "backward"
            loss.backward()
        found[timesteps] = cost(recorder.graph, phases or STEP_PHASES)
    return found


def depth_law(found: dict[int, Cost]) -> str | None:
    return fit_law({t: c.depth_ops for t, c in found.items()}).text


def storage_law(found: dict[int, Cost]) -> str | None:
    return fit_law({t: c.depth_ops_by_storage or 0 for t, c in found.items()}).text


@pytest.mark.parametrize(
    ("cell", "fused", "elements", "storage"),
    [
        (nn.LSTMCell, nn.LSTM, "15·T - 2", "18·T + 3"),
        (nn.GRUCell, nn.GRU, "18·T - 4", "20·T + 4"),
        (nn.RNNCell, nn.RNN, "6·T + 1", "6·T + 4"),
    ],
)
def test_laws_of_cells_and_fused_layers(
    cell: type[nn.RNNCellBase], fused: type[nn.RNNBase], elements: str, storage: str
) -> None:
    looped, expanded = costs(Looped(cell)), costs(Fused(fused))
    assert depth_law(looped) == depth_law(expanded) == elements
    assert storage_law(looped) == storage_law(expanded) == storage


def test_law_of_the_forward_alone() -> None:
    found = costs(Looped(nn.LSTMCell), "forward")
    assert (depth_law(found), storage_law(found)) == ("7·T + 2", "10·T + 2")


def test_attention_is_constant() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert len({found.depth_ops for found in costs(layer).values()}) == 1
