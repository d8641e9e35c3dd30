"""What a user mistypes first is answered by what would work, before anything is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import ROOT, SAMPLES, refusal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has one: a spec, a recording, a program, exports."""
    here = tmp_path_factory.mktemp("mistakes")
    shutil.copy(ROOT / "tests" / "data" / "lstm.json", here / "run.json")
    shutil.copy(here / "run.json", here / "recording.yaml")
    for name in ("lstm.yaml", "own_model.py", "own_model.yaml"):
        shutil.copy(SAMPLES / name, here)
    (here / "train.py").write_text("print(1)\n")
    (here / "run.csv").write_text("metric,value\nstep_time,1\n")
    (here / "other.json").write_text('{"a": 1}\n')
    (here / "other.txt").write_text("x\n")
    (here / "empty").mkdir()
    (here / "other").mkdir()
    (here / "text.yaml").write_text("model: {name: lstm}\ndata:\n  path: nosuch.txt\n")
    (here / "code.yaml").write_text("model:\n  target: own_model:bild\n")
    (here / "specs").mkdir()
    (here / "specs" / "a.yaml").write_text("model: {name: gru}\n")
    return here


#: What is typed after `seqprof`, and what the answer must name.
MISTAKES = {
    "run lstmm": "did you mean 'lstm'?",
    "run LSTM": "did you mean 'lstm'?",
    "run lstm@cel": "lstm@cell",
    "run @trunc": "@truncated_bptt",
    "run own_model": "own_model:build",
    "run train.py": "seqprof exec -- python train.py",
    "run own_model.py:build": "own_model:build",
    "run own_model:bild": "did you mean 'build'?",
    "run own_model.yaml --hidden 64": "--set model.kwargs.hidden_size=64",
    "run own_model:build --hidden 64": "--set model.kwargs.hidden_size=64",
    "run text.yaml": "text.yaml:3:9: data.path: no file",
    "run text.yaml --set data.path=other.text": "--set data.path=other.text: data.path: no file",
    "run code.yaml": "code.yaml:2:11: model.target: ",
    "run lstm.yml": "did you mean lstm.yaml?",
    "run empty": "seqprof list",
    "run specs": "specs/a.yaml",
    "run run.json": "seqprof show run.json",
    "run recording.yaml": "seqprof show recording.yaml",
    "run lstm gru": "seqprof compare lstm gru",
    "run lstm --device cuda": "--set measure.device=VALUE",
    "run lstm --precision bf16": "--set train.precision=VALUE",
    "run lstm --seqlen 8": "--seq-len",
    "run lstm --set hidden_size=8": "it belongs to model",
    "run lstm --set model.hiden_size=8": "did you mean\n    'hidden_size'?",
    "run LSTM@Cel": "did you mean 'lstm@cell'?",
    "run other/new.yaml": "seqprof init -o other/new.yaml",
    "run no.py": "seqprof exec -- python",
    "run trian.py": "seqprof exec -- python train.py",
    "run own_modle.py:build": "did you mean own_model.py?",
    "run torch.nn:GRUCell": "--set model.kwargs.input_size=VALUE",
    "run lstm --set": "`seqprof run --help`",
    "run lstm -f prom": "did you mean 'prometheus'?",
    "run lstm -o run.jsn": ".json",
    "run lstm -o nowhere/run.json": "there is no folder",
    "run lstm --append run.json": "seqprof show run.json",
    "run lstm --append train.py": "name a new file",
    "runn lstm": "did you mean 'run'?",
    "lstm": "seqprof run lstm",
    "compare lstm": "seqprof compare lstm attention",
    "compare lstm,gru": "names stand apart: lstm gru",
    "compare lstm run.json": "seqprof show run.json",
    "show rum.json": "did you mean run.json?",
    "show run": "did you mean run.json?",
    "show run.csv": "seqprof show RUN.json",
    "show lstm.yaml": "seqprof run lstm.yaml",
    "show train.py": "seqprof exec -- python train.py",
    "diff run.json": "seqprof diff BASE.json NEW.json",
    "diff run.json new.json": "-o RUN.json",
    "history run.json": "seqprof show run.json",
    "history other.json": "seqprof run --append history.jsonl",
    "history other.txt": "seqprof run --append history.jsonl",
    "history lstm.yaml": "seqprof run lstm.yaml",
    "history h.jsonl": "seqprof run --append history.jsonl",
    "trace run.json": "seqprof show run.json",
    "trace rum.json": "did you mean run.json?",
    "trace no.json.gz": "seqprof run --trace",
    "init lstmm": "did you mean 'lstm'?",
    "init new.yaml": "seqprof init -o new.yaml",
    "init lstm -o": "`seqprof init --help`",
    "init lstm -o lstm.yaml": "name a new file",
    "list modles": "'configs'",
    "schema recordng": "'recording'",
    "dashboard graphana": "`seqprof dashboard grafana`",
    "scale": "seqprof scale lstm attention",
    "show": "seqprof show run.json",
    "depth": "seqprof depth lstm",
    "exec": "seqprof exec -- python train.py",
    "--no-such": "`seqprof --help`",
    "scale lstm --seq-len 64-128": "64:4096",
    "scale lstm --budget 5x": "60s or 5m",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_the_answer_says_what_works(
    typed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = refusal(*typed.split(), cwd=folder)
    assert done.returncode == 2, done.stderr
    assert MISTAKES[typed] in done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr


def test_a_command_without_its_subcommand_shows_its_help(folder: Path) -> None:
    done = refusal("dashboard", cwd=folder)
    assert done.stderr.startswith("Usage: ")
    assert "grafana" in done.stderr
