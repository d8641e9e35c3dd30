"""Text, CSV and synthetic data."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import IGNORED, Batch, Data
from seqprof.workloads.data import text as data_text
from seqprof.workloads.data.opening import open_data


def make_spec(model: dict[str, Any], **data: Any) -> Spec:
    return Spec.model_validate({"model": model, "data": {"seq_len": 8, "batch_size": 4, **data}})


def open_for(folder: Path, model: dict[str, Any] | None = None, **data: Any) -> Data:
    return open_data(make_spec(model or {"name": "lstm"}, **data), folder)


def first(data: Data) -> Batch:
    return next(iter(data))


# Text.


def test_text_windows_are_in_the_file_and_the_target_is_the_next_byte(tmp_path: Path) -> None:
    text = "".join(chr(33 + i) for i in range(90))
    (tmp_path / "a.txt").write_text(text)
    data = open_for(tmp_path, path="a.txt")
    for batch in islice(data, 20):
        for row, target in zip(batch.inputs, batch.targets, strict=True):
            window = bytes(row.tolist()).decode()
            assert window in text
            assert bytes(target.tolist()).decode() == text[text.index(window) + 1 :][:8]
    assert data.facts.vocabulary == data.facts.classes == 256
    assert "a.txt" in data.facts.description


def test_the_standard_library_is_there_without_a_path() -> None:
    corpus = data_text.read_corpus(None, Path())
    assert len(corpus.text) > 5_000_000
    assert {"json", "asyncio"} <= corpus.groups.keys()
    assert not {"site-packages", "test"} & corpus.groups.keys()
    start, size = corpus.groups["json"]
    assert b"class JSONDecoder" in bytes(corpus.text[start : start + size].tolist())


def test_a_folder_is_read_without_binary_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / "deep" / "a.txt").write_text("text " * 10)
    (tmp_path / "b.md").write_text("more " * 10)
    (tmp_path / "c.bin").write_bytes(b"\0bin" * 10)
    (tmp_path / ".git" / "d").write_text("hidden " * 10)
    corpus = data_text.read_corpus(".", tmp_path)
    assert bytes(corpus.text.tolist()) == b"more " * 10 + b"text " * 10
    assert corpus.groups == {"b.md": (0, 50), "sub": (50, 50)}


def test_a_cut_corpus_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_text, "MAX_BYTES", 1_000_000)
    (tmp_path / "a.txt").write_bytes(b"a" * 700_000)
    (tmp_path / "b.txt").write_bytes(b"b" * 700_000)
    corpus = data_text.read_corpus(".", tmp_path)
    assert len(corpus.text) == 1_000_000
    assert "the first 1 MB" in corpus.description
    whole = data_text.read_corpus("a.txt", tmp_path)
    assert "0.7 MB" in whole.description
    assert "first" not in whole.description


def test_text_is_classified_by_where_it_came_from(tmp_path: Path) -> None:
    for name, letter in (("one", b"1"), ("two", b"2"), ("three", b"3")):
        (tmp_path / name).write_bytes(letter * 50)
    (tmp_path / "tiny").write_bytes(b"0")
    data = open_for(tmp_path, {"name": "encoder"}, path=".")
    assert data.facts.classes == 3
    assert "one, three, two" in data.facts.description
    seen = set()
    for batch in islice(data, 10):
        letters = {"one": 49, "three": 51, "two": 50}
        expected = torch.tensor(list(letters.values()))[batch.targets]
        assert torch.equal(batch.inputs, expected.unsqueeze(1).expand(-1, 8))
        seen |= set(batch.targets.tolist())
    assert seen == {0, 1, 2}


@pytest.mark.parametrize(
    ("model", "data", "message", "hint"),
    [
        ({"name": "lstm"}, {"path": "a.tx"}, "no file or folder", "a.txt"),
        ({"name": "lstm"}, {"path": "empty"}, "no text", None),
        ({"name": "lstm"}, {"path": "a.txt", "seq_len": 60}, "50 bytes, too few", "seq_len"),
        ({"name": "encoder"}, {"path": "a.txt"}, "at least 2 files", "language_model"),
        ({"name": "lstm", "head": "regression"}, {}, "numeric targets", "csv"),
    ],
)
def test_unusable_text_is_refused(
    tmp_path: Path, model: dict[str, Any], data: dict[str, Any], message: str, hint: str | None
) -> None:
    (tmp_path / "a.txt").write_text("x" * 50)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SeqprofError, match=message) as caught:
        open_for(tmp_path, model, **data)
    if hint is not None:
        assert hint in (caught.value.hint or "")


# CSV.


def write_table(folder: Path, rows: int = 40) -> None:
    lines = [f"2024-01-{i:02},{i},{100 - 2 * i},7" for i in range(rows)]
    (folder / "t.csv").write_text("date,up,down,flat\n" + "\n".join(lines) + "\n")


def test_csv_targets_are_the_columns_a_horizon_ahead(tmp_path: Path) -> None:
    write_table(tmp_path)
    data = open_for(tmp_path, kind="csv", path="t.csv", horizon=3)
    facts = data.facts
    assert (facts.features, facts.outputs, facts.vocabulary, facts.classes) == (3, 3, None, None)
    assert "not numeric: date" in facts.description
    step = 1 / torch.arange(40.0).std()
    for batch in islice(data, 5):
        assert batch.inputs.dtype == torch.float32
        up, down, flat = batch.inputs.unbind(-1)
        torch.testing.assert_close(batch.targets[..., 0], up + 3 * step)
        torch.testing.assert_close(batch.targets[..., 1], down - 3 * step)
        torch.testing.assert_close(up, -down)
        assert not flat.any()


def test_columns_are_standardised(tmp_path: Path) -> None:
    write_table(tmp_path)
    data = open_for(tmp_path, kind="csv", path="t.csv", seq_len=39, columns=["down"])
    batch = first(data)
    whole = torch.cat((batch.inputs[0], batch.targets[0, -1:]))
    assert whole.mean().item() == pytest.approx(0, abs=1e-5)
    assert whole.std().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("lengths", [{}, {"distribution": "uniform", "minimum": 2}])
def test_a_model_that_sees_the_window_predicts_what_comes_after_it(
    tmp_path: Path, lengths: dict[str, Any]
) -> None:
    write_table(tmp_path)
    data = open_for(
        tmp_path, {"name": "encoder"}, kind="csv", path="t.csv", columns=["up"], lengths=lengths
    )
    assert not data.facts.per_timestep
    batch = first(data)
    ends = torch.full((4,), 8) if batch.lengths is None else batch.lengths
    last = batch.inputs[torch.arange(4), ends - 1]
    torch.testing.assert_close(batch.targets, last + 1 / torch.arange(40.0).std())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1;2\n3;4\n", 2),
        ("1\t2\n3\t4\n", 2),
        ("\ufeffa,b\n1,2\n", 2),
        ("x\n1\n\n2\n", 1),
        ("  1  0.5  -2 \n 10 12.5   3 \n", 3),
        ("day;x\nMon 1 May;2\nTue 2 May;3\n", 1),
    ],
    ids=["semicolon", "tab", "byte order mark", "blank line", "spaces", "spaces in a name"],
)
def test_other_csv_dialects_are_read(tmp_path: Path, text: str, names: int) -> None:
    from seqprof.spec import DataSpec
    from seqprof.workloads.data.table import read_table

    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert len(read_table(tmp_path / "t.csv", DataSpec()).names) == names


@pytest.mark.parametrize(
    ("text", "data", "message", "hint"),
    [
        (None, {}, "cannot read .*No such file", None),
        ("a,b\n1,2\n3\n", {}, r"t\.csv:3:1: 1 values where the first line has 2", "drop"),
        ("a,b\n1,2\n3,x\n", {}, r"t\.csv:3:3: column 'b' is 'x'", "data.columns"),
        ("a,b\n1,2\n3,\n", {}, r"t\.csv:3:3: column 'b' has no value: ''", "data.missing"),
        (" a   b\n 1   2\n 3   x\n", {}, r"t\.csv:3:6: column 'b' is 'x'", "data.columns"),
        ("a,b\n1,2\n3,nan\n", {}, r"t\.csv:3:3: column 'b' has no value: 'nan'", None),
        ("a,b\n1,2\n", {}, "1 rows, too few", "horizon"),
        ("a\n" + "1\n" * 5, {}, "5 rows, too few", "at most 4"),
        ("temp,wind\n1,2\n", {"columns": ["tmp"]}, "no column 'tmp'", "'temp'"),
        ("a\nx\ny\n", {}, "no numeric column", None),
        ("a,b\n", {}, "no rows", None),
        ("", {}, "no rows", None),
        (b"\xff\xfe\x00", {}, r"t\.csv:1:3: the byte 0x00 is not utf-16", "data.encoding"),
        (b"a\x00b\n1\n", {}, "is not text", "utf-16-le"),
        (b"\x1f\x8bgone", {}, "is damaged", "decompress"),
        ("a,b\n1,2\n3,inf\n", {}, r"t\.csv:3:3: column 'b' is 'inf', not a finite number", None),
        ("a,b\n1,2\n", {"group": "c"}, "data.group: .*no column 'c'", "it has a, b"),
        ("s,y\n" + "A,1\nB,2\n" * 4, {"group": "s"}, "4 rows in its longest series", "at most 3"),
        ("y\nü\n1\n".encode("latin-1"), {"encoding": "utf-8"}, r"t\.csv:2:1: the byte", "latin-1"),
    ],
)
def test_unusable_csv_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes | None, data: dict[str, Any], message: str, hint: str | None
) -> None:
    if text is not None:
        raw = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "t.csv").write_bytes(raw)
    with pytest.raises(SeqprofError, match=message) as caught:
        open_for(tmp_path, kind="csv", path="t.csv", **data)
    if hint is not None:
        assert hint in (caught.value.hint or "")


# Synthetic.


@pytest.mark.parametrize("seq_len", [2, 3, 9, 10])
@pytest.mark.parametrize("lengths", [{}, {"distribution": "uniform", "minimum": 2}])
def test_the_copy_task_repeats_its_tokens(seq_len: int, lengths: dict[str, Any]) -> None:
    data = open_for(Path(), kind="synthetic", seq_len=seq_len, vocabulary=9, lengths=lengths)
    for batch in islice(data, 5):
        ends = [seq_len] * 4 if batch.lengths is None else batch.lengths.tolist()
        rows = zip(batch.inputs.tolist(), batch.targets.tolist(), ends, strict=True)
        for inputs, targets, length in rows:
            n = length // 2
            tokens = inputs[:n]
            assert 0 not in tokens
            assert max(tokens) < 9
            assert inputs[n : 2 * n] == [0, *tokens[:-1]]
            assert targets[n : 2 * n] == tokens
            assert set(targets[:n] + targets[2 * n :]) <= {IGNORED}


def test_random_tokens_are_labelled_by_their_majority() -> None:
    model = {"name": "lstm", "head": "classification"}
    lengths = {"distribution": "uniform", "minimum": 1}
    data = open_for(Path(), model, kind="synthetic", task="random", vocabulary=10, lengths=lengths)
    assert (data.facts.classes, data.facts.vocabulary) == (2, 10)
    seen = set()
    for batch in islice(data, 10):
        assert batch.lengths is not None
        for row, label, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
            high = (row[: int(length)] >= 5).sum()
            assert int(label) == int(2 * high > length)
            seen.add(int(label))
    assert seen == {0, 1}


def test_a_synthetic_task_refuses_a_head_it_cannot_serve() -> None:
    with pytest.raises(SeqprofError, match="copy"):
        open_for(Path(), {"name": "lstm", "head": "classification"}, kind="synthetic")
    model = {"name": "lstm", "head": "regression"}
    with pytest.raises(SeqprofError, match="random"):
        open_for(Path(), model, kind="synthetic", task="random")
