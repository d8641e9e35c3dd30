"""What is printed by default: one screen, the answer first, no number that is not in the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_recordings import ALL, CPU_PHASES, change_trial, cpu_cell, pairs
from html_results import every_kind
from terminal import shown

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
