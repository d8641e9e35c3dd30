"""`seqprof diff` and `seqprof history` as they look: golden files, and names that attack."""

from __future__ import annotations

from dataclasses import replace

from diff_recordings import base, slower_along, wider
from example_recordings import change_trial
from format_results import HOSTILE
from html_results import history
from markdown_parser import check
from syrupy.assertion import SnapshotAssertion
from terminal import shown

from seqprof.analysis.diff.differences import Differences, find_differences
from seqprof.analysis.diff.gate import choose, hold
from seqprof.analysis.diff.outcome import DiffOutcome
from seqprof.recording import Recording
from seqprof.reports.formats import Result
from seqprof.reports.renderers import MARKDOWN


def differences(new: Recording) -> Result:
    found = find_differences([base()], [new], ("main.json", "branch.json"))
    return outcome(found)


def outcome(found: Differences) -> Result:
    gate = hold(found, 0.05, choose(found, ["step_time"]))
    made = DiffOutcome(differences=found, gate=gate)
    return Result(kind="diff", name="branch.json", summary=made, recording=None)


def markdown(result: Result) -> str:
    return MARKDOWN.render([result]).decode()


def changed() -> Recording:
    """A larger model, and timesteps that are slower at the end."""
    along = slower_along(48, 63, 1.5).trials[0].latencies
    return change_trial(wider(), latencies=along)


def test_golden_console(snapshot: SnapshotAssertion) -> None:
    text = shown(differences(changed()))
    assert max(map(len, text.splitlines())) <= 80
    assert text == snapshot


def test_golden_markdown(snapshot: SnapshotAssertion) -> None:
    assert markdown(differences(changed())) == snapshot


def test_golden_history(snapshot: SnapshotAssertion) -> None:
    text = shown(history())
    assert max(map(len, text.splitlines())) <= 80
    assert text == snapshot


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


def hostile_differences() -> Result:
    new = hostile()
    old = replace(hostile(), spec=base().spec, environment=base().environment)
    return outcome(find_differences([old], [new], (HOSTILE, HOSTILE)))


def test_hostile_names_are_names_in_markdown() -> None:
    document = markdown(hostile_differences())
    blocks = [t.content for t in check(document) if t.type == "html_block"]
    assert blocks
    assert all(block.startswith(("<details><summary>", "</details>")) for block in blocks)
    assert not any("<img" in block or "<script" in block for block in blocks)
    assert not {"\x1b", "\x00"} & set(document)


def test_hostile_names_are_names_on_the_console() -> None:
    text = shown(hostile_differences())
    assert not {"\x1b", "\x00", "\x9b"} & set(text)
    assert "<img src=x" in " ".join(text.split())
