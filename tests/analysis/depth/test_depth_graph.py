"""Work, depth and the longest chain of graphs built by hand."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.depth.graph import (
    OperationRun,
    cost,
    critical_path,
    dot,
    run_length,
)
from seqprof.analysis.depth.operation_graph import OperationGraph


def graph() -> OperationGraph:
    """Forward a → b → d and a → c → d; backward e after b; the optimizer after e."""
    made = OperationGraph()
    a = made.add("a", "forward", (), flops=5, bytes_moved=10)
    b = made.add("b", "forward", (a,), flops=100)
    c = made.add("c", "forward", (a,), scan_length=1000)
    made.add("d", "forward", (b, c))
    e = made.add("e", "backward", (b,), flops=7)
    made.add("o", "optimizer", (e,))
    return made


def test_cost() -> None:
    found = cost(graph())
    assert (found.work_ops, found.depth_ops, found.parallelism) == (5, 3, 5 / 3)
    assert found.depth_ops_scans_as_log2 == 1 + 10 + 1
    assert (found.work_flops, found.span_flops, found.work_bytes) == (112, 112, 10)


def test_a_phase_alone_does_not_go_on_through_others() -> None:
    assert cost(graph(), ("backward",)).depth_ops == 1
    assert cost(graph(), ("optimizer",)).depth_ops == 1
    empty = cost(graph(), ("loss",))
    assert (empty.work_ops, empty.depth_ops, empty.parallelism) == (0, 0, None)


def test_the_longest_chain_is_a_chain_of_that_length() -> None:
    made = graph()
    path = critical_path(made)
    assert [made.names[n] for n in path] == ["a", "b", "d"]
    assert critical_path(OperationGraph()) == ()


@given(st.lists(st.sets(st.integers(0, 30), max_size=4), max_size=30))
def test_path_and_depth_agree_on_any_graph(sources: list[set[int]]) -> None:
    made = OperationGraph()
    for number, wanted in enumerate(sources):
        made.add("x", "forward", {s for s in wanted if s < number})
    path = critical_path(made)
    assert len(path) == cost(made).depth_ops
    assert all(a in made.sources[b] for a, b in pairwise(path))


def test_run_length() -> None:
    names = ["zeros", *["addmm", "add", "tanh"] * 512, "sum", *["mm", "add"] * 511, "end"]
    assert run_length(names) == (
        OperationRun(repeats=1, names=("zeros",)),
        OperationRun(repeats=512, names=("addmm", "add", "tanh")),
        OperationRun(repeats=1, names=("sum",)),
        OperationRun(repeats=511, names=("mm", "add")),
        OperationRun(repeats=1, names=("end",)),
    )


@given(st.lists(st.sampled_from("ab"), max_size=60))
def test_run_length_loses_nothing(names: list[str]) -> None:
    runs = run_length(names)
    assert [name for run in runs for name in run.names * run.repeats] == names


def test_dot_has_every_operation_and_marks_the_chain() -> None:
    text = dot(graph(), 'a "quoted" title')
    assert 'label="a \\"quoted\\" title"' in text
    assert text.count("[label=") == 6
    assert text.count(" -> ") == 6
    assert "n0 -> n1 [style=bold" in text
    assert "n0 -> n2;" in text
    assert text.count("{") == text.count("}")
