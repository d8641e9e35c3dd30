"""`seqprof compare`, as a user runs it: small models on the CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_line
import jsonschema
import pytest
from command_line import Done, refusal, widest
from real_results import RealResult

TESTS = Path(__file__).parents[1]
SMALL = ("--set", "model.hidden_size=16", "--seq-len", "16", "--batch", "2", "--rounds", "6")


MADE_UP = ("--set", "data.kind=synthetic")


def seqprof(*words: str, cwd: Path = TESTS, **environment: str) -> Done:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    if words[0] == "compare":
        env = {"PYTHONPATH": str(TESTS.parent), **env}
    return command_line.seqprof(*words, cwd=cwd, env=env)


@pytest.fixture
def done(real_compare: RealResult) -> tuple[Path, str]:
    """One comparison of three, at two lengths; its file and what it printed."""
    return real_compare.path, real_compare.stdout


def document(file: Path) -> Any:
    return json.loads(file.read_text())


def test_the_document_validates_against_its_schema(done: tuple[Path, str]) -> None:
    schema = json.loads(seqprof("schema", "compare").stdout)
    jsonschema.validate(document(done[0]), schema)


def test_every_candidate_has_every_number_or_a_reason(done: tuple[Path, str]) -> None:
    summary = document(done[0])["summary"]
    assert [length["timesteps"] for length in summary["lengths"]] == [16, 32]
    for length in summary["lengths"]:
        for candidate in length["candidates"]:
            for name in ("step", "forward", "backward", "tokens_per_s", "peak_memory", "busy"):
                assert candidate[name]["value"] > 0, name
            assert candidate["model_flops_utilization"]["reason"] == "no accelerator"
            assert candidate["forward"]["value"] < candidate["step"]["value"]
            others = candidate["against_baseline"]
            assert (others is None) == (candidate["label"] == "lstm")
            if others:
                ratio = others["ratio"]
                assert ratio["low"] <= ratio["value"] <= ratio["high"]
                assert others["rounds"] == 6


def test_rounds_interleave(done: tuple[Path, str]) -> None:
    recording = document(done[0])["recording"]
    order = sorted(
        (step["started_at_s"], step["pair"], index)
        for index, trial in enumerate(recording["trials"])
        for step in trial["steps"]
    )
    visits = list(dict.fromkeys((round_, index) for _, round_, index in order))
    turns = [(round_, (round_ + index) % 6) for round_ in range(6) for index in range(6)]
    assert visits == turns


def test_fused_against_unrolled_is_told(done: tuple[Path, str]) -> None:
    kinds = [caveat["kind"] for caveat in document(done[0])["summary"]["caveats"]]
    assert "different_kernels" in kinds
    assert "lstm ran as one fused primitive and gru" in " ".join(done[1].split())


def test_show_prints_the_same_again_without_torch(done: tuple[Path, str]) -> None:
    shown = seqprof("show", str(done[0]))
    assert shown.stdout == done[1]
    probe = (
        "import sys; sys.argv = ['seqprof', 'show', sys.argv[1]]\n"
        "from seqprof.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    subprocess.run([sys.executable, "-c", probe, str(done[0])], check=True, env=env, stdout=-3)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_is_not_cut(done: tuple[Path, str], columns: str) -> None:
    answer = seqprof("show", str(done[0]), COLUMNS=columns).stdout
    whole = seqprof("show", str(done[0]), "--full", COLUMNS=columns).stdout
    for printed in (answer, whole):
        assert widest(printed) <= int(columns)
        assert "…" not in printed
        assert {"lstm", "gru", "attention"} <= set(printed.split())
    for label in ("verdict", "depth, operations", "95 % interval of the ratio"):
        assert label in whole


def test_it_can_be_written_in_ascii(done: tuple[Path, str]) -> None:
    shown = seqprof("show", str(done[0]), PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.isascii()


def test_matched_parameters_are_nearly_equal() -> None:
    run = seqprof(
        "compare", "lstm", "gru", *SMALL[:-1], "1", *MADE_UP, "--match", "params", "--json"
    )
    found = [t["workload"]["parameters"] for t in json.loads(run.stdout)["recording"]["trials"]]
    assert found[1] == pytest.approx(found[0], rel=0.05)
    assert json.loads(run.stdout)["recording"]["matched"] == "params"


def test_a_config_a_cell_and_models_of_ones_own_together(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: {name: rnn, hidden_size: 8}\n")
    own = ("compare_models:unbound", "compare_models:limited", "compare_models:crowded")
    words = ("mine.yaml", "gru@cell", *own)
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    more = ("--seq-len", "64,128", "--batch", "2", "--rounds", "2", "-o", "c.json")
    run = seqprof("compare", *words, *more, *MADE_UP, cwd=tmp_path, PYTHONPATH=path)
    assert run.returncode == 0, run.stderr
    assert "out of memory at T = 128" in run.stdout
    found = document(tmp_path / "c.json")
    assert [c["label"] for c in found["recording"]["candidates"]] == [*words, *words]
    clocks = [trial["cpu_clock"] for trial in found["recording"]["trials"]]
    assert clocks == 2 * [*4 * ["threads"], "process"]
    kinds = [caveat["kind"] for caveat in found["summary"]["caveats"]]
    assert "out_of_memory" in kinds
    assert "different_kernels" not in kinds
    assert "sliced_sequence" not in kinds


def test_a_model_that_copies_its_process_answers_once(tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    run = seqprof("compare", "rnn", "compare_models:forking", *SMALL, *MADE_UP, "-o", str(out))
    assert run.returncode == 0, run.stderr
    steps = [len(trial["steps"]) for trial in document(out)["recording"]["trials"]]
    assert min(steps) >= 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lstm",), "needs two candidates"),
        (("lstm", "atention"), "did you mean 'attention'?"),
        (("lstm", "gru@celll"), "there is gru@cell or gru@fused"),
        (("lstm", "gru", "--baseline", "rnn"), "--baseline rnn is not a candidate"),
        (("lstm", "gru", "--seq-len", "many"), "--seq-len many: expected"),
        (("lstm", "gru", "--set", "model.hiden_size=4"), "unknown key 'hiden_size'"),
        (("lstm", "nowhere.yaml"), "there is no file nowhere.yaml"),
        (("compare_models:broken", "compare_models:broken", *SMALL[2:]), "can be trained: "),
        (("lstm", "compare_models:sliced", *SMALL, "--match", "params"), "a model of your own"),
    ],
)
def test_bad_input_ends_with_one_message(words: tuple[str, ...], message: str) -> None:
    run = refusal("compare", *words, cwd=TESTS)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.stdout


def test_a_candidate_that_cannot_be_trained_built_or_lives_not_costs_no_other(
    tmp_path: Path,
) -> None:
    (tmp_path / "planted.py").write_text(
        "import os\n"
        "def unbuilt(): raise ValueError('no such size')\n"
        "def leaves(): os._exit(3)\n"
        "def broken():\n"
        "    from torch import nn\n"
        "    return nn.Linear(3, 4)\n"
    )
    words = ("rnn", "planted:unbuilt", "planted:leaves", "planted:broken", "planted:missing")
    small = ("--seq-len", "16", "--batch", "2", "--rounds", "6", *MADE_UP)
    run = seqprof("compare", *words, *small, "-o", "c.json", cwd=tmp_path)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    trials = document(tmp_path / "c.json")["recording"]["trials"]
    assert [bool(trial["steps"]) for trial in trials] == [True, False, False, False, False]
    kinds = [[incident["kind"] for incident in trial["incidents"]] for trial in trials]
    assert kinds[1:] == [["not_built"], ["killed"], ["step_failed"], ["not_built"]]
    shown = " ".join(run.stdout.split())
    for reason in ("no such size", "exit code 3", "missing"):
        assert reason in shown


def test_timesteps_of_each_candidate_are_timed_where_that_is_asked_for(tmp_path: Path) -> None:
    words = ("lstm", "lstm@cell", "--timesteps", *SMALL[:-2], "--rounds", "8", *MADE_UP)
    run = seqprof("compare", *words, "-o", "c.json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    fused, cell = document(tmp_path / "c.json")["recording"]["trials"]
    assert not fused["latencies"]
    assert {x["phase"] for x in cell["latencies"]} == {"forward", "backward"}
    assert all(len(x["p50_s"]) == 16 and min(x["samples"]) > 0 for x in cell["latencies"])


@pytest.mark.parametrize(
    ("number", "send", "code"),
    [
        (signal.SIGINT, os.killpg, 130),  # a terminal tells all of its group
        (signal.SIGTERM, os.kill, 143),
        (signal.SIGTERM, os.killpg, 143),
        (signal.SIGHUP, os.kill, 129),
    ],
)
def test_an_end_by_a_signal_keeps_what_was_measured(
    tmp_path: Path, number: signal.Signals, send: Callable[[int, int], None], code: int
) -> None:
    file = tmp_path / "c.json"
    sign = tmp_path / "sign"
    words = ("rnn", "compare_models:announcing", *SMALL[2:-1], "2000", *MADE_UP, "-o", str(file))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
    env["SEQPROF_TEST_SIGN"] = str(sign)
    with subprocess.Popen(
        [sys.executable, "-m", "seqprof", "compare", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=TESTS,
        start_new_session=True,
    ) as process:
        try:
            while not sign.exists():
                assert process.poll() is None
                time.sleep(0.05)
            send(process.pid, number)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()  # its workers find the pipe closed, and leave
    assert process.returncode == code, stderr
    assert "interrupted" in stdout
    assert "Traceback" not in stderr
    assert all(trial["steps"] for trial in document(file)["recording"]["trials"])
