"""`seqprof explain` measuring models about which its claims are false."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
#: Short, and of one thread: these tests run beside others.
SMALL = ["--set", "data.seq_len=32", "--set", "data.batch_size=4", "--set", "measure.threads=1"]


@cache
def explained(*models: str, budget: str = "14s") -> dict[str, Any]:
    """What it prints as JSON of models in argument_models."""
    words = [f"argument_models:{model}" for model in models]
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seqprof", "explain", *words, *SMALL, "--budget", budget]
    done = subprocess.run(
        [*command, "--json", "-q"], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def verdicts(document: dict[str, Any]) -> dict[int, str]:
    return {claim["number"]: claim["verdict"] for claim in document["claims"]}


def test_claims_are_denied_of_a_model_without_memory_whose_work_is_quadratic_in_t() -> None:
    given = verdicts(explained("pairs", "attention_with_loop"))
    assert [given[number] for number in (1, 2, 3)] == ["not_seen"] * 3
    # By the clock: a machine may be too busy to tell, but never tells the opposite.
    assert given[4] != "shown"
    assert given[7] == "not_testable"  # there is no chain to remove


def test_a_batch_is_not_parallel_where_the_sequences_are_taken_one_by_one() -> None:
    assert verdicts(explained("one_by_one", "attention_with_loop"))[5] != "shown"


def test_a_recurrence_is_shown_and_a_loop_in_attention_is_found() -> None:
    """What the budget leaves no time for is said to be untested."""
    given = [c["verdict"] for c in explained("recurrence", "attention_with_loop")["claims"]]
    assert given[:2] == ["shown"] * 2
    assert given[2] != "not_seen"
    assert given[6] != "shown"
