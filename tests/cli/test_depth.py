"""`seqprof depth` as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import command_line
import pytest
from command_line import Done
from typer.testing import CliRunner

from seqprof.cli import app
from seqprof.cli.commands.depth import parse_lengths, parse_rate, parse_time
from seqprof.errors import SeqprofError

SAMPLES = Path(__file__).parents[2] / "sample_configs"
DEPENDENCY = str(SAMPLES / "sequential_dependency.yaml")


def seqprof(*arguments: str, columns: int = 80, folder: Path | None = None) -> Done:
    """Run the command; with a folder's modules in a process of its own, which imports them."""
    root = str(SAMPLES.parent)
    env = {**os.environ, "COLUMNS": str(columns), "OMP_NUM_THREADS": "1"}
    if folder is not None:
        env["PYTHONPATH"] = os.pathsep.join([root, str(folder)])
    return command_line.seqprof(
        "depth", *arguments, env=env, cwd=folder or Path(root), process=folder is not None
    )


def models(*arguments: str) -> list[dict[str, Any]]:
    """Run in this process, which has loaded torch already."""
    given = ["depth", *arguments, "--json"]
    done = CliRunner().invoke(app.command_line(), given, catch_exceptions=False)
    found: list[dict[str, Any]] = json.loads(done.stdout, parse_constant=pytest.fail)["models"]
    return found


def test_cell_fused_and_attention_as_json() -> None:
    cell, fused, attention = models(
        "lstm:cell", "lstm@fused", "attention",
        *("--seq-len", "32", "--kernel-latency", "2us", "--peak-flops", "60T"),
    )  # fmt: skip
    assert cell["depth_law"]["text"] == fused["depth_law"]["text"] == "15·T - 2"
    assert cell["at"]["step"]["depth_ops"] == 15 * 32 - 2
    assert cell["latency_floor_s"]["value"] == pytest.approx((15 * 32 - 2) * 2e-6)
    assert cell["latency_floor_s"]["method"].startswith("derived")
    flops = cell["at"]["step"]["work_flops"] / 16
    assert cell["arithmetic_batch"]["value"] == pytest.approx((15 * 32 - 2) * 2e-6 * 60e12 / flops)
    assert cell["one_more"] == {"timesteps": 16, "work_ops": 35, "depth_ops": 15}
    assert cell["across_timesteps"]["value"] == pytest.approx(1, abs=0.02)
    assert "nn.LSTM" in fused["recorded"]["notes"][0]
    assert attention["depth_law"]["coefficients"].keys() == {"1"}
    assert attention["across_timesteps"]["value"] > 16


def test_a_dependency_that_is_not_needed_shows() -> None:
    (loop,) = models(DEPENDENCY, "--seq-len", "32")
    (rewritten,) = models(
        DEPENDENCY, "--seq-len", "32",
        *("--set", "model.target=sequential_dependency:build_rewritten"),
    )  # fmt: skip
    assert loop["depth_law"]["coefficients"]["T"] == 2
    assert rewritten["depth_law"]["coefficients"].keys() == {"1"}
    assert rewritten["recorded"]["hidden_scans"] == {"cumsum": 2}
    scans = rewritten["scans_law"]["coefficients"]
    assert scans.keys() == {"⌈log2 T⌉", "1"}
    assert rewritten["arithmetic_batch"]["value"] is None
    assert "--peak-flops" in rewritten["arithmetic_batch"]["reason"]


@pytest.mark.parametrize("columns", [60, 80])
def test_tables_fit_and_the_path_is_run_length_coded(columns: int, tmp_path: Path) -> None:
    graph = tmp_path / "graph.dot"
    done = seqprof("rnn:cell", "--seq-len", "32", "--path", "--dot", str(graph), columns=columns)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert "6·T + 1" in words
    assert "32 × (addmm, add, tanh) 31 × (tanh_backward, mm, add)" in words
    assert "assumed" in words
    assert graph.read_text().startswith("digraph depth {")


def test_ones_own_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class M(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a = nn.Linear(6, 6)\n"
        "    def forward(self, x):\n"
        "        return self.a(x).relu()\n"
        "class Reads(M):\n"
        "    def forward(self, x):\n"
        "        return x * self.a.weight.sum().item()\n"
    )
    (model,) = models("mine:M", "--features", "6", "--seq-len", "8")
    assert model["depth_law"]["coefficients"].keys() == {"1"}
    done = seqprof("mine:Reads", "--features", "6", "--seq-len", "8", folder=tmp_path)
    assert done.returncode == 2
    assert "mine.py:10" in done.stderr
    assert "have no values" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("x = x * x.sum().item()", 2, "own:Own: cannot run on shapes alone"),
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted while recording own:Own"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "recording own:Own (SIGTERM)"),
        ("os.kill(os.getpid(), signal.SIGHUP)", 129, "recording own:Own (SIGHUP)"),
    ],
)
def test_what_was_recorded_is_kept(line: str, code: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import os, signal\n"
        "from torch import nn\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background\n"
        "class Own(nn.Module):\n"
        "    def forward(self, x):\n"
        f"        {line}\n"
        "        return x\n"
    )
    done = seqprof("rnn@cell", "own:Own", "--seq-len", "8", "--json", folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    [kept] = json.loads(done.stdout)["models"]
    assert kept["recorded"]["model"] == "rnn@cell"
    alone = seqprof("own:Own", "--seq-len", "8", "--json", folder=tmp_path)
    assert (alone.returncode, alone.stdout) == (code, "")
    assert message in alone.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstn"], "did you mean 'lstm'"),
        (["lstn@cell"], "did you mean 'lstm@cell'"),
        (["lstm@fast"], "lstm@cell or lstm@fused"),
        (["lstm", "--seq-len", "x"], "--seq-len"),
        (["lstm", "--kernel-latency", "4"], "give a unit"),
        (["lstm", "--features", "3"], "for package.module:factory"),
        (["lstm", "--set", "data.seq_len=2"], "only keys of `model`"),
        (["lstm", "--set", "model.heads=2"], "heads"),
        (["mine:build", "--set", "model.layers=2"], "neither a family nor a YAML spec"),
        (["rnn", "gru", "--dot", "x.dot"], "one model"),
        (["nowhere.yaml"], "there is no file"),
    ],
)
def test_errors_are_one_clear_message(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app.command_line(), ["depth", *arguments])
    assert isinstance(done.exception, SeqprofError)
    assert message in f"{done.exception.message} {done.exception.hint}"
    assert done.exception.exit_code == 2
    assert done.stdout == ""


def test_options() -> None:
    assert parse_lengths("512") == [512]
    assert parse_lengths("16:100") == [16, 32, 64, 100]
    assert parse_lengths("9,4,9") == [4, 9]
    assert parse_time("4us") == parse_time("4 µs") == parse_time("0.004ms") == pytest.approx(4e-6)
    assert parse_rate("60T") == parse_rate("6e13") == 60e12
    for parse, bad in (
        (parse_lengths, "0"),
        (parse_lengths, "32:16"),
        (parse_lengths, "4:"),
        (parse_time, "0us"),
        (parse_time, "4 parsecs"),
        (parse_rate, "-1T"),
    ):
        with pytest.raises(SeqprofError):
            parse(bad)
