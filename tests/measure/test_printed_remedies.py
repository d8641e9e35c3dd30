"""What a report says to type is accepted when it is typed."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from command_line import SAMPLES

from seqprof.analysis.run.caveats import attached as attached_module
from seqprof.analysis.run.caveats.attached import REMEDIES
from seqprof.analysis.run.caveats.caveat import Case
from seqprof.analysis.run.caveats.incidents import INCIDENTS
from seqprof.analysis.run.command_again import exec_again
from seqprof.analysis.run.findings import find
from seqprof.analysis.run.summary import summarise
from seqprof.attach.profile import Profile
from seqprof.cli.app import command_line
from seqprof.measure.candidates import Contender, resolve, resolve_one
from seqprof.measure.outcome import NoProgress
from seqprof.measure.run import measure_run
from seqprof.recording import ForeignLoop, Recording
from seqprof.spec_file import load_spec_text
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep

FAST = ("measure.pairs=3", "measure.max_s=0.2", "measure.warmup=1", "measure.threads=1")
SMALL = ("data.seq_len=12", "data.batch_size=2")
OWN_DATA = str(SAMPLES / "training_step.yaml")
VARIED = ("data.lengths.distribution=uniform", "data.lengths.minimum=2")
SETTING = re.compile(r"--set ([\w.]+=[^\s,;()]+)")
COMMAND = re.compile(r"seqprof (?:run|depth|doctor|compare|scale)(?: [^\s`,;()]+)*")
COMMANDS = {"run", "depth", "doctor", "compare", "scale"}


def settings_of(words: list[str]) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == "--set"]


def try_out(contender: Contender) -> None:
    """Build it and train one step."""
    step = TrainingStep(
        build(contender.spec, contender.folder), contender.spec, torch.device("cpu")
    )
    step.run()


def accept(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "seqprof"
    assert words[1] in COMMANDS
    if words[1] == "doctor":
        assert len(words) == 2
    elif words[1] == "run":
        try_out(resolve_one(words[2], settings_of(words)))
    else:
        models = [word for word in words[2 : words.index("--set")] if not word.startswith("-")]
        for contender in resolve(models, None, settings_of(words)):
            try_out(contender)


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("lstm", SMALL),
        ("lstm@fused", SMALL),
        ("gru@fused", SMALL),
        ("attention", SMALL),
        ("mingru@sequential", SMALL),
        ("mingru", SMALL),
        ("lstm@fused", (*SMALL, *VARIED)),
        ("lstm@fused", (*SMALL, *VARIED, "data.lengths.layout=packed")),
        (OWN_DATA, ()),
    ],
)
def test_what_a_run_says_to_type_is_accepted(word: str, more: tuple[str, ...]) -> None:
    settings = [*FAST, *more]
    contender = resolve_one(word, settings)
    typed = ["seqprof", "run", word, *(part for s in settings for part in ("--set", s))]
    outcome = measure_run(contender.spec, contender.folder, shlex.join(typed), NoProgress())
    summary = summarise(outcome.recording)
    accept(summary.verdict.next_command)
    for caveat in summary.caveats:
        assert caveat.remedy is not None
        for setting in SETTING.findall(caveat.remedy):
            try_out(resolve_one(word, [*settings, setting]))
        for command in COMMAND.findall(caveat.remedy):
            accept(command)


@pytest.mark.parametrize("kind", INCIDENTS)
def test_what_an_incident_says_to_set_can_be_set(kind: str) -> None:
    own = "model: {target: 'a:b'}\ndata: {target: 'a:c'}\n"
    built_in = "model: {name: lstm}\n"
    remedy = INCIDENTS[kind][2]
    for setting in SETTING.findall(remedy):
        text = own if setting.startswith("data.time_dim") else built_in
        load_spec_text(text, "spec", [setting])


def test_a_run_over_data_of_ones_own_is_told_no_size() -> None:
    outcome = measure_run(
        resolve_one(OWN_DATA, FAST).spec, SAMPLES, f"seqprof run {OWN_DATA}", NoProgress()
    )
    command = summarise(outcome.recording).verdict.next_command
    assert "data.batch_size" not in command
    assert "data.seq_len" not in command


# --- a script of the user's own ------------------------------------------------------------------

KEY_OF_A_SPEC = re.compile(r"--set|\b(?:measure|train|data|model)\.[a-z_]+")
#: Caveats that need what only a workload of seqprof's own has: compiling, lengths, counted names.
ONLY_OF_A_SPEC = {"compiled_nothing", "padding", "packed", "one_call", "tf32"}
OPTION = re.compile(r"--[a-z][a-z-]*")


def options_of_exec() -> set[str]:
    command: Any = typer.main.get_command(command_line())
    return {name for option in command.commands["exec"].params for name in option.opts}


def attached(recording: Recording) -> Recording:
    """The recording of a run as if a script of the user's had been measured."""
    loop = ForeignLoop(boundary="optimizer", iterations=(), ended="complete")
    return replace(
        recording,
        command="seqprof exec --steps 8 -o run.json -- python train.py -o out --steps 100",
        spec={"attach": {"steps": 8, "warmup": 4, "budget": 0.01}},
        trials=(replace(recording.trials[0], loop=loop),),
    )


@pytest.fixture(scope="module")
def of_script() -> Recording:
    contender = resolve_one("lstm", [*FAST, *SMALL])
    outcome = measure_run(contender.spec, contender.folder, "seqprof run lstm", NoProgress())
    return attached(outcome.recording)


def case_of(recording: Recording) -> Case:
    return Case(recording, recording.trials[0], find(recording, recording.trials[0]))


@pytest.mark.parametrize("kind", REMEDIES)
def test_a_remedy_for_a_script_names_options_that_exec_has(kind: str, of_script: Recording) -> None:
    remedy = REMEDIES[kind](case_of(of_script))
    assert not KEY_OF_A_SPEC.search(remedy)
    named = set(OPTION.findall(re.sub(r"`[^`]*`", "", remedy)))
    assert named <= options_of_exec(), remedy


def test_a_remedy_in_code_names_arguments_of_profile(of_script: Recording) -> None:
    in_code = case_of(replace(of_script, command="seqprof.profile(…)"))
    for remedy in REMEDIES.values():
        text = re.sub(r"`[^`]*`", "", remedy(in_code))
        assert not OPTION.search(text), text
        assert set(re.findall(r"(\w+)=", text)) <= set(signature(Profile).parameters), text


def test_every_caveat_with_a_setting_in_its_remedy_has_another_for_a_script() -> None:
    """Read from the source: what a remedy there names of a spec must be said differently."""
    folder = Path(attached_module.__file__).parent
    calls = (
        node
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Caveat"
    )
    for call in calls:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if KEY_OF_A_SPEC.search(given["remedy"]):
            assert ast.literal_eval(given["kind"]) in {*REMEDIES, *ONLY_OF_A_SPEC}


def test_what_follows_for_a_script_is_a_command_that_runs_it(of_script: Recording) -> None:
    verdict = summarise(of_script).verdict
    assert not KEY_OF_A_SPEC.search(verdict.next_command)
    assert exec_again(of_script, "--trace", "t.json.gz") == (
        "seqprof exec --steps 8 --trace t.json.gz -- python train.py -o out --steps 100"
    )
    for caveat in summarise(of_script).caveats:
        assert not KEY_OF_A_SPEC.search(caveat.remedy), caveat
