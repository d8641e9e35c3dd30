"""The spec's models, what its parts cannot be together, its schema, its samples and its docs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from seqprof.conflicts import Conflict
from seqprof.spec import Spec, json_schema
from seqprof.spec_checks import conflicts
from seqprof.spec_file import load_spec
from seqprof.spec_problems import wanted
from seqprof.spec_yaml import YamlSource, parse
from seqprof.workloads.prediction import effective_head

ROOT = Path(__file__).parents[1]
SAMPLES = sorted((ROOT / "sample_configs").glob("*.yaml"))


def spec_of(**keys: Any) -> Spec:
    """Return a spec from dotted keys with ``__`` for the dot; an LSTM if no model is given."""
    data: dict[str, Any] = {}
    for key, value in keys.items():
        *parents, last = key.split("__")
        part = data
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    if not {"name", "target"} & set(data.get("model", {})):
        data.setdefault("model", {})["name"] = "lstm"
    return Spec.model_validate(data)


def found(**keys: Any) -> list[Conflict]:
    return list(conflicts(spec_of(**keys)))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model__name": "lstm", "model__target": "a:b"}, "model.target", "both"),
    ({"model__name": "lsmt"}, "model.name", "did you mean 'lstm'"),
    ({"model__name": "xgboost"}, "model.name", "known: rnn, lstm"),
    ({"model__name": "attention", "model__execution": "cell"}, "model.execution", "rnn, lstm, gru"),
    ({"model__name": "attention", "model__bidirectional": True}, "model.bidirectional", "rnn"),
    ({"model__name": "encoder", "model__bidirectional": True}, "model.bidirectional", "encoder"),
    ({"model__nonlinearity": "relu"}, "model.nonlinearity", "it is for rnn"),
    ({"model__heads": 4}, "model.heads", "attention, encoder"),
    ({"model__name": "attention", "model__hidden_size": 100}, "model.hidden_size", "of 8"),
    ({"model__name": "encoder", "model__heads": 3}, "model.heads", "multiple of 6"),
    ({"model__projection": 256}, "model.projection", "below hidden_size 256"),
    ({"model__name": "gru", "model__projection": 8}, "model.projection", "it is for lstm"),
    ({"model__name": "mingru", "model__execution": "fused"}, "model.execution", "parallel or seq"),
    ({"model__name": "slstm", "model__execution": "parallel"}, "model.execution", "runs as cell"),
    ({"model__name": "slstm", "model__heads": 3}, "model.heads", "multiple of 3"),
    ({"model__name": "retention", "model__hidden_size": 12}, "model.hidden_size", "of 8"),
    ({"model__name": "mlstm", "model__chunk": 8}, "model.chunk", "execution: chunked"),
    ({"model__name": "ssm", "model__chunk": 8}, "model.chunk", "it is for linear-attention"),
    ({"model__name": "mingru", "model__state_size": 8}, "model.state_size", "ssm, mamba"),
    ({"model__name": "ssm", "model__transition": "scalar"}, "model.transition", "for mamba"),
    ({"model__name": "mamba", "model__heads": 2}, "model.heads", "transition: scalar"),
    ({"model__name": "mamba", "model__execution": "chunked"}, "model.execution", "scalar"),
    (
        {"model__name": "mamba", "model__execution": "sequential", "model__transition": "scalar"},
        "model.execution",
        "full",
    ),
    (
        {"model__name": "mamba", "model__transition": "scalar", "model__heads": 3},
        "model.heads",
        "twice hidden_size 256",
    ),
    ({"model__name": "lstm", "model__kernel_size": 3}, "model.kernel_size", "for tcn"),
    ({"model__name": "transformers"}, "model.name", "`model_type`"),
    ({"model__name": "transformers", "model__config": {}}, "model.config", "`model_type`"),
    (
        {"model__name": "transformers", "model__config": {"model_type": "gpt2"}}
        | {"model__hidden_size": 64},
        "model.hidden_size",
        "`config`",
    ),
    ({"model__config": {"model_type": "gpt2"}}, "model.config", "for transformers"),
    ({"model__kwargs": {"a": 1}}, "model.kwargs", "target"),
    ({"model__target": "a:b", "model__hidden_size": 256}, "model.hidden_size", "kwargs"),
    ({"model__target": "a:b", "model__layers": 2}, "model.layers", "kwargs"),
    ({"data__kwargs": {"a": 1}}, "data.kwargs", "target"),
    ({"data__target": "a:b", "data__kind": "text"}, "data.kind", "built-in data"),
    ({"data__target": "a:b", "data__path": "x"}, "data.path", "built-in data"),
    ({"data__target": "a:b", "data__seq_len": 8}, "data.seq_len", "built-in data"),
    ({"data__target": "a:b", "data__lengths": {}}, "data.lengths", "built-in data"),
    ({"data__columns": ["a"]}, "data.columns", "this is text"),
    ({"data__kind": "synthetic", "data__horizon": 2}, "data.horizon", "this is synthetic"),
    ({"data__kind": "synthetic", "data__path": "x"}, "data.path", "text and csv"),
    ({"data__task": "copy"}, "data.task", "for synthetic"),
    ({"data__kind": "csv", "data__path": "x", "data__vocabulary": 9}, "data.vocabulary", "csv"),
    ({"data__kind": "csv"}, "data.kind", "`path`"),
    ({"data__lengths__minimum": 9}, "data.lengths.minimum", "uniform or normal"),
    (
        {"data__lengths__distribution": "uniform", "data__lengths__mean": 9},
        "data.lengths.mean",
        "this is uniform",
    ),
    ({"data__lengths__deviation": 9.5}, "data.lengths.deviation", "normal"),
    (
        {"data__lengths": {"distribution": "uniform", "minimum": 65}, "data__seq_len": 64},
        "data.lengths.minimum",
        "above seq_len 64",
    ),
    (
        {"data__lengths": {"distribution": "normal", "mean": 64.5}, "data__seq_len": 64},
        "data.lengths.mean",
        "above seq_len 64",
    ),
    (
        {"data__lengths": {"distribution": "normal", "mean": 9, "minimum": 10}},
        "data.lengths.mean",
        "below `minimum` 10",
    ),
    (
        {"model__name": "attention", "data__lengths": {"layout": "packed"}},
        "data.lengths.layout",
        "recurrent",
    ),
    (
        {"model__target": "a:b", "data__lengths": {"layout": "packed"}},
        "data.lengths.layout",
        "built-in",
    ),
    (
        {"model__bidirectional": True, "data__lengths": {"distribution": "uniform"}},
        "data.lengths.layout",
        "layout: packed",
    ),
    ({"train__bptt__truncate": 65, "data__seq_len": 64}, "train.bptt.truncate", "seq_len 64"),
    ({"train__bptt__truncate": 8, "model__name": "attention"}, "train.bptt.truncate", "no state"),
    ({"train__bptt__truncate": 8, "model__name": "encoder"}, "train.bptt.truncate", "no state"),
    ({"train__bptt__truncate": 8, "model__name": "mingru"}, "train.bptt.truncate", "no state"),
    (
        {"train__bptt__truncate": 8, "model__name": "transformers"}
        | {"model__config": {"model_type": "gpt2"}},
        "train.bptt.truncate",
        "no state",
    ),
    (
        {"model__name": "slstm", "data__lengths": {"layout": "packed"}},
        "data.lengths.layout",
        "recurrent",
    ),
    (
        {"train__bptt__truncate": 8, "model__bidirectional": True},
        "train.bptt.truncate",
        "whole sequence",
    ),
    (
        {"train__bptt__truncate": 8, "model__head": "classification"},
        "train.bptt.truncate",
        "one loss",
    ),
    ({"model__head": "regression"}, "model.head", "text data"),
    (
        {"model__head": "language_model", "data__kind": "csv", "data__path": "x"},
        "model.head",
        "regression",
    ),
    ({"model__head": "classification", "data__kind": "synthetic"}, "model.head", "copy data"),
    (
        {"model__head": "language_model", "model__bidirectional": True},
        "model.bidirectional",
        "head: classification",
    ),
    (
        {"model__head": "language_model", "model__name": "encoder"},
        "model.name",
        "head: classification",
    ),
    ({"train__loss": "mse"}, "train.loss", "cross_entropy"),
    (
        {"train__loss": "cross_entropy", "data__kind": "csv", "data__path": "x"},
        "train.loss",
        "mse",
    ),
    ({"train__momentum": 0.9}, "train.momentum", "sgd"),
    ({"train__checkpoint": True, "model__target": "a:b"}, "train.checkpoint", "built-in"),
    ({"measure__timesteps__stride": 65, "data__seq_len": 64}, "measure.timesteps.stride", "65"),
]


@pytest.mark.parametrize(("keys", "at", "words"), WRONG)
def test_each_impossible_combination_is_told_once(
    keys: dict[str, Any], at: str, words: str
) -> None:
    [conflict] = found(**keys)
    assert conflict.at == at
    assert words in conflict.message


def test_a_model_needs_a_name_or_a_target() -> None:
    [conflict] = conflicts(Spec.model_validate({"model": {}}))
    assert conflict.at == "model"
    assert "rnn, lstm, gru, attention, encoder" in conflict.message


RIGHT: list[dict[str, Any]] = [
    {},
    {"model__name": "attention", "model__bidirectional": False},
    {"model__name": "attention", "model__heads": 2, "model__hidden_size": 20},
    {"model__name": "rnn", "model__nonlinearity": "relu", "model__execution": "fused"},
    {"model__projection": 255, "model__bidirectional": True, "model__execution": "cell"},
    {"model__name": "mamba", "model__transition": "scalar", "model__execution": "chunked"}
    | {"model__chunk": 1000, "model__heads": 2, "model__state_size": 5},
    {"model__name": "mamba", "model__execution": "sequential", "model__hidden_size": 7},
    {"model__name": "linear-attention", "model__hidden_size": 12, "model__heads": 3},
    {"model__name": "slstm", "train__bptt__truncate": 8},
    {"model__name": "transformers", "model__config": {"model_type": "gpt2", "n_embd": 64}},
    {"model__target": "a.b:c", "model__kwargs": {"x": [1, {"y": 2}]}, "model__head": "regression"}
    | {"data__kind": "csv", "data__path": "x"},
    {"data__target": "a:b", "data__kwargs": {"x": 1}}
    | {
        "train__bptt__truncate": 999,
        "measure__timesteps__stride": 999,
        "model__head": "regression",
    },
    {"model__execution": "cell", "data__lengths": {"distribution": "uniform", "layout": "packed"}},
    {"data__lengths": {"distribution": "normal", "mean": 60, "minimum": 60, "deviation": 1}},
    {
        "model__bidirectional": True,
        "data__lengths": {"distribution": "uniform", "layout": "packed"},
    },
    {"model__bidirectional": True, "model__execution": "cell"}
    | {"data__lengths": {"distribution": "uniform"}},
    {"train__bptt__truncate": 64, "data__seq_len": 64},
    {"train__bptt__truncate": 8, "data__lengths": {"distribution": "uniform", "layout": "packed"}},
    {"train__bptt__truncate": 8, "model__target": "a:b"},
    {"model__name": "encoder", "data__kind": "synthetic"},
    {"model__name": "encoder", "model__head": "language_model", "data__kind": "synthetic"},
    {"model__name": "encoder", "model__head": "classification"},
    {"train__loss": "mse", "data__kind": "csv", "data__path": "x"},
    {"train__loss": "mine:loss", "data__kind": "csv", "data__path": "x"},
    {"train__loss": "mse", "data__target": "a:b"},
    {"train__momentum": 0.9, "train__optimizer": "sgd"},
    {"measure__timesteps": {"enabled": False, "module": "cell", "stride": 4}},
    {"train__checkpoint": True, "train__compile": True, "train__precision": "fp16"},
]


@pytest.mark.parametrize("keys", RIGHT)
def test_what_works_is_not_refused(keys: dict[str, Any]) -> None:
    assert found(**keys) == []


@pytest.mark.parametrize(
    ("keys", "head"),
    [
        ({}, "language_model"),
        ({"model__bidirectional": True}, "classification"),
        ({"model__name": "encoder"}, "classification"),
        ({"model__name": "encoder", "data__kind": "synthetic"}, "language_model"),
        ({"data__kind": "csv", "data__path": "x"}, "regression"),
        ({"data__target": "a:b"}, None),
        ({"data__target": "a:b", "model__head": "regression"}, "regression"),
    ],
)
def test_effective_head(keys: dict[str, Any], head: str | None) -> None:
    assert effective_head(spec_of(**keys)) == head


@pytest.mark.parametrize(
    "keys",
    [
        {"data__seq_len": 1},
        {"data__seq_len": 2**31},
        {"data__seq_len": True},
        {"data__seq_len": 16.0},
        {"train__learning_rate": float("inf")},
        {"train__learning_rate": "1e-3"},
        {"model__dropout": 1.0},
        {"model__target": "no_colon"},
        {"model__target": "a..b:c"},
        {"data__columns": []},
        {"measure__device": "CUDA:0"},
        {"measure__sample_interval_s": 0.01},
        {"measure__nonsense": 1},
    ],
)
def test_single_values_are_checked_without_conversion(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec_of(**keys)


def test_a_spec_cannot_be_changed_and_survives_json() -> None:
    spec = spec_of(train__learning_rate=1, data__columns=["a"])
    with pytest.raises(ValidationError):
        spec.model.layers = 2
    assert Spec.model_validate(json.loads(json.dumps(spec.model_dump()))) == spec


# The schema


def test_the_committed_schema_is_up_to_date() -> None:
    committed = json.loads((ROOT / "sample_configs" / "spec.schema.json").read_text())
    assert committed == json_schema(), (
        "run: python -m seqprof schema spec > sample_configs/spec.schema.json"
    )


def test_schema_command_prints_a_valid_schema_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['seqprof', 'schema', 'spec']\n"
        "from seqprof.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "False"
    schema = json.loads(done.stdout)
    assert schema == json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def _keys(node: BaseModel | type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, info in node.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _keys(section, f"{path}{name}.")
        else:
            yield f"{path}{name}", info


def test_every_key_is_described() -> None:
    assert [key for key, info in _keys(Spec) if not info.description] == []


# The samples


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid_short_and_name_the_schema(path: Path) -> None:
    text = path.read_text()
    loaded = load_spec(path)
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 100
    data = parse(YamlSource(path.name, text)).data
    jsonschema.validate(data, json_schema())
    if loaded.spec.data.path:
        assert (loaded.folder / loaded.spec.data.path).is_file()


def test_the_samples_cover_what_a_newcomer_wants_first() -> None:
    assert {path.stem for path in SAMPLES} >= {
        "lstm", "lstm_fused", "gru", "rnn", "attention", "variable_length", "truncated_bptt",
        "forecasting_csv", "own_model",
    }  # fmt: skip


# The docs


def doc_row(key: str, info: Any) -> str:
    value = info.get_default(call_default_factory=True)
    default = "" if value in (None, {}) else json.dumps(value).strip('"')
    may_be = wanted(tuple(key.split(".")))
    return f"| `{key}` | {may_be} | {default} | {info.description} |"


def test_the_docs_list_every_key_as_the_models_have_it() -> None:
    lines = (ROOT / "docs" / "spec.md").read_text().splitlines()
    rows = [doc_row(key, info) for key, info in _keys(Spec)]
    missing = [row for row in rows if row not in lines]
    assert not missing, "docs/spec.md needs these rows:\n" + "\n".join(missing)
    stale = [line for line in lines if line.startswith("| `") and line not in rows]
    assert not stale, "docs/spec.md has rows of keys that are not:\n" + "\n".join(stale)


def test_the_examples_in_the_docs_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "spec.md").read_text()
    examples = [block.split("```")[0] for block in text.split("```yaml\n")[1:]]
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example)
        load_spec(file)
