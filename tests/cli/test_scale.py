"""`seqprof scale`, as a user runs it: small models on the CPU, planted ones on the simulation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import refusal, seqprof, widest
from simaccel_fixtures import SimEnvironment

TESTS = Path(__file__).parents[1]
MADE_UP = ("--set", "data.kind=synthetic")


def scale(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    base = dict(os.environ) if env is None else env
    path = os.pathsep.join(filter(None, [str(TESTS.parent), base.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "seqprof", "scale", *words],
        capture_output=True,
        text=True,
        cwd=TESTS,
        env={**base, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        timeout=180,
        check=False,
    )


def measured(*words: str, env: dict[str, str] | None = None) -> Any:
    run = scale(*words, "--json", env=env)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_sliced_sequences_are_named_and_the_unbound_twin_is_clean() -> None:
    both = ("compare_models:sliced", "compare_models:unbound")
    found = measured(*both, "--seq-len", "64:512", "--batch", "4", "--budget", "3s", *MADE_UP)
    named = [c for c in found["summary"]["caveats"] if c["kind"] == "sliced_sequence"]
    assert len(named) == 1
    assert named[0]["text"].startswith("compare_models:sliced")
    assert "unbind" in named[0]["remedy"]
    # That its growth is quadratic is timed in benchmarks/compare.py: it takes long sequences.
    schema = seqprof("schema", "scale")
    jsonschema.validate(found, json.loads(schema.stdout))


def test_out_of_memory_is_a_result_and_the_sweep_goes_on() -> None:
    both = ("compare_models:limited", "compare_models:killed")
    words = ("--seq-len", "64:256", "--batch", "2,4", "--budget", "10s", *MADE_UP)
    found = measured(*both, *words)
    points = {(p["label"], p["timesteps"], p["batch_size"]): p for p in found["summary"]["points"]}
    assert len(points) == 12
    for (_, timesteps, _), point in points.items():
        assert (point["step"]["value"] is None) == (timesteps >= 128)
        assert (point["failed"] is None) == (timesteps < 128)


def test_constant_tokens_hold_batch_times_length() -> None:
    words = ("--seq-len", "16:64", "--batch", "8", "--constant-tokens", "--budget", "1s", *MADE_UP)
    found = measured("gru", *words, "--set", "model.hidden_size=8")
    points = found["summary"]["points"]
    assert {(p["timesteps"], p["batch_size"]) for p in points} == {(16, 8), (32, 4), (64, 2)}
    assert [line["batch_size"] for line in found["summary"]["lengths"]] == [None] * 3


def test_batches_have_a_saturation_or_a_reason_and_a_plot() -> None:
    words = ("--batch", "1:8", "--seq-len", "16", "--budget", "1s", *MADE_UP, "--set")
    run = scale("gru", *words, "model.hidden_size=8", "--full")
    assert run.returncode == 0, run.stderr
    assert "Growth with the batch" in run.stdout
    assert "batch, sequences (log)" in run.stdout
    assert widest(run.stdout) <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lstmm",), "did you mean 'lstm'?"),
        (("lstm", "--budget", "soon"), "--budget soon: expected a time"),
        (("lstm", "--seq-len", "64:32"), "--seq-len 64:32: expected"),
        (("lstm", "--seq-len", "64:1024", "--batch", "4", "--constant-tokens"), "fewer tokens"),
    ],
)
def test_bad_input_ends_with_one_message(words: tuple[str, ...], message: str) -> None:
    run = refusal("scale", *words, cwd=TESTS)
    assert run.returncode == 2
    assert message in run.stderr
    assert not run.stdout


@pytest.mark.sim
@pytest.mark.slow
def test_a_crossover_planted_on_the_simulated_accelerator_is_found(
    sim_env: SimEnvironment,
) -> None:
    env = sim_env(SIM_MIN_KERNEL_US=300)
    both = ("compare_models:flat", "compare_models:growing")
    words = ("--seq-len", "12:96", "--batch", "2", *MADE_UP)
    for budget in ("30s", "120s"):  # the second where others leave no time for five rounds
        scaling = measured(*both, *words, "--budget", budget, env=env)
        meeting = next(m for m in scaling["summary"]["crossovers"] if m["quantity"] == "step")
        length = meeting["crossover"]["length"]
        if length["value"] is not None:
            break
    if (length["reason"] or "").startswith("not measurable now"):
        assert any(trial["contended_rounds"] for trial in scaling["recording"]["trials"])
        pytest.skip(length["reason"])
    assert length["value"] is not None, length["reason"]
    assert not meeting["crossover"]["extrapolated"]
    # The interval misses one time in twenty; a test may not.
    assert 0.85 * length["low"] <= 48 <= 1.15 * length["high"]
