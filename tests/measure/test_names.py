"""What a word on the command line stands for, and what `run` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqprof import shipped_configs
from seqprof.errors import SeqprofError
from seqprof.measure.candidates import resolve, resolve_one
from seqprof.measure.names import look_up
from seqprof.workloads.registry import families


def refusal(word: str, *overrides: str) -> str:
    with pytest.raises(SeqprofError) as refused:
        resolve_one(word, overrides)
    return f"{refused.value.message}\n{refused.value.hint}"


@pytest.mark.parametrize("name", families())
def test_run_takes_every_family_and_shows_timesteps_where_there_are_cells(name: str) -> None:
    if name == "transformers":
        assert "model_type" in refusal(name)
        return
    model = resolve_one(name).spec.model
    assert model.name == name
    assert (model.execution == "cell") == ("cell" in families()[name].executions)


def test_run_and_compare_differ_in_the_form_that_a_bare_name_means() -> None:
    (compared,) = resolve(["lstm"], None, [])
    assert (compared.spec.model.execution, resolve_one("lstm").spec.model.execution) == (
        "fused",
        "cell",
    )


def test_a_named_form_holds_and_is_not_contradicted_in_silence() -> None:
    assert resolve_one("lstm@fused").spec.model.execution == "fused"
    assert resolve_one("lstm:fused").spec.model.execution == "fused"
    assert resolve_one("lstm", ["model.execution=fused"]).spec.model.execution == "fused"
    assert "contradicts lstm@cell" in refusal("lstm@cell", "model.execution=fused")


def test_an_override_of_the_form_reaches_the_candidates_that_have_it() -> None:
    lstm, attention, mingru = resolve(
        ["lstm", "attention", "mingru"], None, ["model.execution=cell"]
    )
    forms = [c.spec.model.execution for c in (lstm, attention, mingru)]
    assert forms == ["cell", None, "parallel"]


def test_samples_are_named_like_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_configs.names():
        contender = resolve_one(f"@{name}")
        assert contender.folder == shipped_configs.folder()
    assert resolve_one("@truncated_bptt", ["data.seq_len=64"]).spec.data.seq_len == 64


def test_a_factory_of_ones_own_is_looked_for_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contender = resolve_one("mine.models:build", ["model.kwargs.width=3"])
    assert contender.spec.model.target == "mine.models:build"
    assert contender.spec.model.kwargs == {"width": 3}
    assert contender.folder.resolve() == tmp_path


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("lstn", "did you mean 'lstm'?"),
        ("qqqq", "what works: a name of `seqprof list`"),
        ("truncated_bptt", "did you mean @truncated_bptt"),
        ("@truncated", "did you mean '@truncated_bptt'?"),
        ("@qqqq", "`seqprof list configs`"),
        ("lstm@cel", "lstm@cell or lstm@fused"),
        ("lstm:cel", "lstm@cell or lstm@fused"),
        ("attention@cell", "there is attention"),
        ("lstm.yaml", "@lstm is the sample config"),
        ("nowhere.yaml", "there is no file nowhere.yaml"),
        ("train.py", "`seqprof exec -- python train.py`"),
        ("train.py", "train:build"),
        ("train.py:make", "give train:make"),
        ("absent.py", "there is no file absent.py"),
        ("train", "did you mean train:build"),
        ("train.make", "did you mean train:make?"),
        ("specs", "specs/a.yaml"),
        ("run.json", "`seqprof show run.json`"),
        ("h.jsonl", "`seqprof history h.jsonl`"),
        ("t.json", "`seqprof trace t.json`"),
    ],
)
def test_what_stands_for_nothing_is_refused_with_what_would_work(
    word: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("def make(): ...\n")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text("model: {name: lstm}\n")
    (tmp_path / "run.json").write_text('{"schema_version":2,"recording":{}}')
    (tmp_path / "h.jsonl").write_text('{"history_version":1}\n')
    (tmp_path / "t.json").write_text('{"traceEvents": []}')
    assert says in refusal(word)


def test_a_module_named_like_a_family_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm.py").write_text("def cel(): ...\n")
    assert look_up("lstm:cel").kind == "target"
