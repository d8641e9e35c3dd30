"""Sequential depth and its law over T, as a recording keeps them: one entry each."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.quantities import COUNT, Quantity, Reader, Table, Value
from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import DepthLaw

#: Null where the run ended before it was derived, or the recording is older than depth.
Law = DepthLaw | None

_ABSENT = "the run ended before it, or the recording is older than depth"

DEPTH_OPS = Quantity(
    key="depth_ops",
    dimension=COUNT,
    short="depth",
    label="dependent operations",
    definition="Operations on the longest chain of a step in which each consumes the previous "
    "one's output; derived from shapes alone, or counted in real steps.",
    group="depth",
    better="smaller",
    prometheus="depth_operations",
    judged="count",
)
WORK_OPS = Quantity(
    key="work_ops",
    dimension=COUNT,
    short="work",
    label="operations in all",
    definition="Operations of a step in all; views, allocations and metadata are excluded. Derived "
    "from shapes alone, or counted in real steps.",
    group="depth",
    better="smaller",
    prometheus="work_operations",
)


def _depth_ops(law: Law) -> Iterator[Value]:
    method = _method("operations on the longest chain", law)
    yield _count(law, None if law is None else law.depth_ops, method), {}


def _work_ops(law: Law) -> Iterator[Value]:
    method = _method("operations in all, views excluded", law)
    yield _count(law, None if law is None else law.work_ops, method), {}


def _method(what: str, law: Law) -> str:
    if law is not None and law.source == "step":
        return f"{what}, {law.method}"
    return f"derived: {what}, from shapes alone"


def _count(law: Law, number: int | None, method: str) -> Estimate:
    if number is None:
        reason = _ABSENT if law is None else law.reason
        return missing("1", method, reason or "no exact law over T")
    return Estimate(value=number, unit="1", method=method, n=1)


def _coefficient(term: str) -> Reader[Law]:
    def values(law: Law) -> Iterator[Value]:
        if law is not None and term in law.coefficients:
            method = f"derived: the law of depth over T, {law.law or ''}"
            yield Estimate(value=law.coefficients[term], unit="1", method=method), {}

    return values


def _of_law(key: str, term: str) -> tuple[Quantity, Reader[Law]]:
    entry = Quantity(
        key=key,
        dimension=COUNT,
        short=term,
        label=f"{term} in the law of depth",
        definition=f"Coefficient of {term} in the exact law of depth over T.",
        group="depth",
        better="smaller",
    )
    return entry, _coefficient(term)


LAW: Table[Law] = (
    (DEPTH_OPS, _depth_ops),
    (WORK_OPS, _work_ops),
    _of_law("depth_law_t_squared", "T²"),
    _of_law("depth_law_t_log2_t", "T·⌈log2 T⌉"),
    _of_law("depth_law_t", "T"),
    _of_law("depth_law_log2_t", "⌈log2 T⌉"),
    _of_law("depth_law_log2_t_floor", "⌊log2 T⌋"),
    _of_law("depth_law_constant", "1"),
)
