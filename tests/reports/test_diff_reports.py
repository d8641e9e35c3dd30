"""`seqprof diff` and `seqprof history` as they look: golden files, and names that attack."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from diff_recordings import again, base, slower, slower_along, wider
from example_recordings import change_trial
from format_results import HOSTILE
from markdown_parser import check
from syrupy.assertion import SnapshotAssertion

from seqprof.analysis.differences import Differences, find_differences
from seqprof.analysis.gate import choose, hold
from seqprof.analysis.history_lines import history_lines
from seqprof.analysis.history_trend import summarise_history
from seqprof.history import Damaged
from seqprof.recording import Recording
from seqprof.reports.diff_console import print_differences
from seqprof.reports.diff_markdown import render_markdown
from seqprof.reports.history_console import print_history


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def differences(new: Recording) -> Differences:
    return find_differences([base()], [new], ("main.json", "branch.json"))


def console(found: Differences) -> str:
    file = io.StringIO()
    gate = hold(found, 0.05, choose(found, ["step_time"]))
    print_differences(found, gate, None, file)
    return file.getvalue()


def markdown(found: Differences) -> str:
    return render_markdown(found, hold(found, 0.05, choose(found, ["step_time"])), None)


def changed() -> Recording:
    """A larger model, and timesteps that are slower at the end."""
    along = slower_along(48, 63, 1.5).trials[0].latencies
    return change_trial(wider(), latencies=along)


def test_golden_console(snapshot: SnapshotAssertion) -> None:
    text = console(differences(changed()))
    assert max(map(len, text.splitlines())) <= 80
    assert text == snapshot


def test_golden_markdown(snapshot: SnapshotAssertion) -> None:
    assert markdown(differences(changed())) == snapshot


def test_golden_history(snapshot: SnapshotAssertion) -> None:
    lines = [
        line
        for day in range(1, 13)
        for made in [again() if day <= 6 else slower({"backward": 1.5})]
        for line in history_lines(replace(made, created=f"2026-11-{day:02d}T00:00:00+00:00"))
    ]
    file = io.StringIO()
    print_history(summarise_history("history.jsonl", lines, [Damaged(3, "not JSON")]), file)
    assert max(map(len, file.getvalue().splitlines())) <= 80
    assert file.getvalue() == snapshot


def hostile() -> Recording:
    """Every name from outside is an attack."""
    made = changed()
    trial = made.trials[0]
    environment = replace(made.environment, torch=HOSTILE, commit=HOSTILE)
    spec = {**made.spec, "model": {**made.spec["model"], HOSTILE: HOSTILE}}
    return replace(
        change_trial(
            replace(made, spec=spec, environment=environment),
            latencies=tuple(replace(found, loop=HOSTILE) for found in trial.latencies),
        ),
        created=HOSTILE,
        command=HOSTILE,
    )


def hostile_differences() -> Differences:
    new = hostile()
    old = replace(hostile(), spec=base().spec, environment=base().environment)
    return find_differences([old], [new], (HOSTILE, HOSTILE))


def test_hostile_names_are_names_in_markdown() -> None:
    document = markdown(hostile_differences())
    blocks = [t.content for t in check(document, folded=True) if t.type == "html_block"]
    assert blocks
    assert all(block.startswith(("<details><summary>", "</details>")) for block in blocks)
    assert not any("<img" in block or "<script" in block for block in blocks)
    assert not {"\x1b", "\x00"} & set(document)


def test_hostile_names_are_names_on_the_console() -> None:
    text = console(hostile_differences())
    assert not {"\x1b", "\x00", "\x9b"} & set(text)
    assert "<img src=x" in " ".join(text.split())
