"""What is printed by default: one screen, the answer first, no number that is not in the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from example_recordings import ALL, CPU_PHASES, change_trial, cpu_cell, pairs
from html_results import every_kind, explanation
from terminal import shown

from seqprof.analysis.explain.summary import explain
from seqprof.reports.formats import Result
from seqprof.reports.kinds import KINDS

#: Lines of a terminal that a reader has before the eye.
SCREEN = 45


@pytest.mark.parametrize("name", sorted(set(ALL) - {"long"}))
def test_a_run_fits_a_screen(name: str) -> None:
    text = shown(ALL[name](), 80, full=False)
    assert len(text.rstrip().split("\n")) <= SCREEN


@pytest.mark.parametrize("kind", ["compare", "scale", "depth", "explain", "diff", "history"])
def test_other_kinds_fit_a_screen(kind: str, tmp_path: Path) -> None:
    text = shown(every_kind(tmp_path)[kind], 80, full=False)
    assert len(text.rstrip().split("\n")) <= SCREEN


def test_the_whole_argument_fits_forty_lines(tmp_path: Path) -> None:
    text = shown(every_kind(tmp_path)["explain"], 80, full=False)
    assert len(text.rstrip().split("\n")) <= 40
    assert sum(": " in line and line[:1].isdigit() for line in text.split("\n")) >= 6  # claims


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("ended", [None, "Ctrl-C"])
def test_an_argument_of_any_number_of_candidates_fits_forty_lines(
    count: int, ended: str | None
) -> None:
    facts = explanation().summary.facts
    first, second = facts.candidates
    more = [replace(second, label=f"another_architecture_{n}") for n in range(count - 1)]
    facts = replace(facts, candidates=(first, *more), ended=ended)
    result = Result(kind="explain", name="explain", summary=explain(facts), recording=None)
    lines = shown(result, 80, full=False).rstrip().split("\n")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    claims = [line for line in lines if line[:2] in [f"{n} " for n in range(1, 8)]]
    assert len(claims) == min(9, 5 + count)


def test_the_sentence_comes_before_any_table() -> None:
    text = shown(cpu_cell(), 80, full=False)
    assert text.index("A step takes 137.6 ms") < text.index("Phases of a step")
    assert text.index("Phases of a step") < text.index("Next: ")


def test_heavy_noise_is_the_first_thing_said() -> None:
    noisy = change_trial(cpu_cell(), steps=pairs(CPU_PHASES, count=7, noise=0.8))
    lines = [line for line in shown(noisy, 80, full=False).split("\n") if line]
    assert any(line.startswith("Do not trust these figures yet") for line in lines[:4])


@pytest.mark.parametrize("kind", list(KINDS))
def test_quiet_is_one_line(kind: str, tmp_path: Path) -> None:
    results = every_kind(tmp_path)
    if kind in results:
        assert shown(results[kind], 80, quiet=True).strip().count("\n") == 0
