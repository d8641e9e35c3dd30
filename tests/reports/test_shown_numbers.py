"""What is shown hangs together, whatever was measured: intervals, quantiles, idle, signs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from example_recordings import CPU_PHASES, change_trial, cpu_cell, latency, pairs
from html_results import explanation
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqprof.analysis.explain.summary import explain
from seqprof.analysis.run.timesteps import Bin
from seqprof.analysis.statistics import Estimate
from seqprof.recording import Recording
from seqprof.reports import quantities as q
from seqprof.reports.document import Cell, Chart, Folded, Only, Table, View
from seqprof.reports.documents import document_of
from seqprof.reports.documents.run.timesteps import p50_and_p95
from seqprof.reports.formats import result_of
from seqprof.reports.renderers import HTML, MARKDOWN, TABLE

_UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = r"-?[\d,]+(?:\.\d+)?"
#: A minus before nothing but zeros.
_MINUS_ZERO = re.compile(r"(?<![\d.,e])[-−]0(?:\.0+)?(?![\d.])")
#: A per cent number beyond 100.
_OVER = re.compile(r"(?<![\d.,])(?:10[1-9]|1[1-9]\d|[2-9]\d\d|\d{4,})(?:\.\d+)?%")


def seconds(text: str) -> float:
    number, unit = text.split(" ")
    return float(number.replace(",", "")) * _UNITS[unit]


@st.composite
def estimates(draw: st.DrawFn, unit: str = "s") -> Estimate:
    """A value within an interval that may be narrow, wide or one-sided."""
    value = draw(st.floats(1e-7, 1e3))
    below, above = (draw(st.floats(0.0, 0.99)), draw(st.floats(0.0, 20.0)))
    return Estimate(
        value=value, low=value * (1 - below), high=value * (1 + above), unit=unit, method="m", n=9
    )


@given(estimates())
@example(Estimate(value=0.995, low=0.4975, high=0.995, unit="s", method="m", n=9))
def test_a_shown_time_lies_in_its_shown_interval(made: Estimate) -> None:
    shown = seconds(q.time(made))
    found = re.fullmatch(rf"({_NUMBER})–({_NUMBER}) (\S+)", q.time_interval(made))
    assert found is not None
    low, high = (float(found[i].replace(",", "")) * _UNITS[found[3]] for i in (1, 2))
    assert low * (1 - 1e-9) <= shown <= high * (1 + 1e-9)


@given(estimates("1"))
def test_a_shown_ratio_lies_in_its_shown_interval(made: Estimate) -> None:
    found = re.fullmatch(rf"({_NUMBER}) \(({_NUMBER})–({_NUMBER})\)", q.ratio_with_interval(made))
    assert found is not None
    shown, low, high = (float(found[i].replace(",", "")) for i in (1, 2, 3))
    assert low <= shown <= high


@given(st.floats(-0.05, 0.05), st.floats(0.0, 0.1))
def test_no_per_cent_is_minus_zero(value: float, half: float) -> None:
    made = Estimate(value=value, low=value - half, high=value + half, unit="1", method="m")
    assert not _MINUS_ZERO.search(f"{q.percent(made)} {q.percent_interval(made)}")


@given(st.floats(1e-7, 10.0), st.floats(1.0, 3.0), st.floats(0.0, 0.5))
def test_a_shown_p95_is_not_below_its_p50(p50: float, times: float, half: float) -> None:
    part = Bin(
        first=0,
        last=9,
        p50_s=p50,
        low_s=p50 * (1 - half),
        high_s=p50 * (1 + half),
        p95_s=p50 * times,
    )
    shown = [seconds(cell.text) for cell in p50_and_p95(part)]
    assert shown[0] <= shown[1]


@given(st.floats(-0.2, 1.0), st.floats(1e-6, 10.0))
def test_idle_is_never_negative(share: float, whole: float) -> None:
    part = Estimate(value=share * whole, unit="s", method="m")
    shown = q.part_of(part, Estimate(value=whole, unit="s", method="m"))
    assert "-" not in shown
    assert "−" not in shown


@given(st.floats(0.0, 3.0))
def test_nothing_is_busy_for_longer_than_all_the_time(share: float) -> None:
    assert not _OVER.search(q.busy(Estimate(value=share, unit="1", method="m")))


@st.composite
def runs(draw: st.DrawFn) -> Recording:
    """A run whose steps scatter by anything between nothing and tenfold."""
    noise = draw(st.sampled_from([0.0, 0.01, 0.1, 0.5]))
    count = draw(st.sampled_from([6, 7, 20]))
    scale = draw(st.sampled_from([1e-3, 1.0, 50.0]))
    phases = {name: value * scale for name, value in CPU_PHASES.items()}
    return change_trial(
        cpu_cell(),
        steps=pairs(phases, count=count, noise=noise),
        latencies=(latency("forward", 1e-3 * scale), latency("backward", 2e-3 * scale)),
    )


@settings(max_examples=12, deadline=None)
@given(runs())
@pytest.mark.parametrize("format_", [TABLE, MARKDOWN, HTML], ids=lambda found: found.name)
def test_every_renderer_shows_what_hangs_together(format_: object, made: Recording) -> None:
    result = result_of(made, "run.json")
    text = format_.render([result]).decode()  # type: ignore[attr-defined]
    body = text.split("<main")[-1].split("</main>")[0]
    words = re.sub(r"<[^>]*>", " ", body).replace("\\", "")
    assert not _MINUS_ZERO.search(words)
    for table in tables(document_of(result, View()).sections):
        hangs_together(table)


def test_an_explanation_has_no_negative_idle_either() -> None:
    """Clocks of threads are read a little apart: cores may seem busier than all the time."""
    busier = change_trial(cpu_cell(), steps=pairs(CPU_PHASES, busy=1.004))
    made = explanation()
    facts = replace(made.summary.facts, run=busier)
    document = document_of(replace(made, summary=explain(facts)), View(full=True))
    idle = [
        row[1].text
        for table in tables(document.sections)
        for row in table.rows
        if row[0].text.startswith("cores idle")
    ]
    assert len(idle) > 3
    assert all(text.startswith("< ") for text in idle)


def tables(sections: object) -> list[Table]:
    found: list[Table] = []
    blocks = [block for section in sections for block in section.blocks]  # type: ignore[attr-defined]
    while blocks:
        block = blocks.pop()
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Chart):
            found.append(block.table)
        elif isinstance(block, (Folded, Only)):
            blocks += block.blocks
    return found


def hangs_together(table: Table) -> None:
    """A value beside its interval lies within it; no busy cell says more than all."""
    names = [column.name for column in table.columns]
    for row in table.rows:
        for name, cell in zip(names, row, strict=True):
            if "busy" in name:
                assert not _OVER.search(cell.text), cell.text
            if "idle" in name:
                assert not cell.text.startswith(("-", "−")), cell.text
        if "time" in names and "95 % interval" in names:
            inside(row[names.index("time")], row[names.index("95 % interval")])


def inside(value: Cell, interval: Cell) -> None:
    found = re.fullmatch(rf"({_NUMBER})–({_NUMBER}) (\S+)", interval.text)
    if found is not None:
        low, high = (float(found[i].replace(",", "")) * _UNITS[found[3]] for i in (1, 2))
        assert low * (1 - 1e-9) <= seconds(value.text) <= high * (1 + 1e-9)
