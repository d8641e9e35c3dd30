"""`seqprof explain` measures models about which its claims are false, and beside others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
#: Short, and of one thread: these tests run beside others.
SMALL = ["--set", "data.seq_len=32", "--set", "data.batch_size=4", "--set", "measure.threads=1"]
#: Each longer than the one before: a machine may be busy.
BUDGETS = ("24s", "48s")
#: Where a verdict takes more rounds than fit into the first of these.
LONGER = ("48s", "96s")


@cache
def explained(*models: str, budget: str = BUDGETS[0], small: tuple[str, ...] = ()) -> Any:
    """What it prints as JSON of models in argument_models."""
    words = [f"argument_models:{model}" for model in models]
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    options = [*SMALL, *small, "--budget", budget, "--json", "-q"]
    command = [sys.executable, "-m", "seqprof", "explain", *words, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    # On a machine that is busy enough a model does not end its first steps in time.
    assert done.returncode == 0 or others_had_the_processor(document), done.stderr
    return document


def verdicts(document: dict[str, Any]) -> dict[int, str]:
    return {claim["number"]: claim["verdict"] for claim in document["claims"]}


def because(document: dict[str, Any], number: int) -> str:
    return next(str(c["because"]) for c in document["claims"] if c["number"] == number)


def others_had_the_processor(document: dict[str, Any]) -> bool:
    """Whether the recording itself says so: its threads waited, or the machine was loaded."""
    stored = document["scaling"]
    hosts = [t["host"] for t in stored["recording"]["trials"]] if stored else []
    loads = [host for host in hosts if host and host["window_s"] > 0.0]
    waited = [(h["run_delay_s"] or 0.0) + (h["steal_s"] or 0.0) for h in loads]
    explained_ = document["explained"]
    return explained_["load_average_1m"] > explained_["cores"] or any(
        lost > 0.1 * host["window_s"] for lost, host in zip(waited, loads, strict=True)
    )


def by_the_clock(
    number: int,
    verdict: str,
    *models: str,
    budgets: tuple[str, ...] = BUDGETS,
    small: tuple[str, ...] = (),
) -> None:
    """A claim that is tested by the clock gets its verdict, unless others had the processor.

    It never gets the opposite.
    """
    opposite = {"shown": "not_seen", "not_seen": "shown"}[verdict]
    for budget in budgets:
        document = explained(*models, budget=budget, small=small)
        assert verdicts(document)[number] != opposite, because(document, number)
        if verdicts(document)[number] == verdict:
            return
    assert others_had_the_processor(document), because(document, number)


def test_a_recurrence_that_ignores_its_state_has_no_chain() -> None:
    given = verdicts(explained("forgetful", "attention_with_loop"))
    assert [given[number] for number in (1, 2, 3)] == ["not_seen"] * 3
    assert given[7] == "not_testable"  # there is no chain to remove


def test_work_quadratic_in_t_is_not_linear() -> None:
    by_the_clock(4, "not_seen", "pairs")


def test_a_batch_is_not_parallel_where_the_sequences_are_taken_one_by_one() -> None:
    by_the_clock(5, "not_seen", "one_by_one", budgets=LONGER)


def test_hardware_that_multiplies_large_matrices_is_not_underused() -> None:
    large = ("--set", "data.seq_len=16", "--set", "data.batch_size=32")
    by_the_clock(6, "not_seen", "busy", budgets=LONGER, small=large)


def test_a_recurrence_is_shown_and_a_loop_in_attention_is_found() -> None:
    """What the budget leaves no time for is said to be untested."""
    document = explained("recurrence", "attention_with_loop", budget=BUDGETS[1])
    given = [claim["verdict"] for claim in document["claims"]]
    assert "not_seen" not in given[:3]
    assert given[6] != "shown"
    if not others_had_the_processor(document):
        assert given[:2] == ["shown"] * 2
        assert given[6] == "not_seen"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Programs that take all the processor they can get."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@pytest.mark.parametrize(
    ("model", "truth"),
    [
        ("recurrence", {1: "shown", 2: "shown", 3: "shown", 4: "shown", 6: "shown"}),
        ("pairs", {1: "not_seen", 2: "not_seen", 3: "not_seen", 4: "not_seen"}),
    ],
)
def test_beside_busy_neighbours_no_verdict_is_false(model: str, truth: dict[int, str]) -> None:
    with neighbours(2):
        document = explained(model, budget="16s")
    for number, verdict in truth.items():
        given = verdicts(document)[number]
        assert given in (verdict, "not_testable"), because(document, number)
        if given == "not_testable" and number in (4, 5, 6):
            reasons = ("others used", "budget", "noise", "too wide")
            assert any(reason in because(document, number) for reason in reasons)
