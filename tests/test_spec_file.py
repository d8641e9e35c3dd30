"""YAML → Spec: places, every kind of problem, --set, and 500 corruptions of the samples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.spec_file import MAX_BYTES, load_spec
from seqprof.spec_yaml import MAX_DEPTH

ROOT = Path(__file__).parents[1]
SAMPLES = sorted((ROOT / "sample_configs").glob("*.yaml"))
LSTM = "model:\n  name: lstm\n"


def load(folder: Path, text: str | bytes, *overrides: str) -> Spec:
    file = folder / "s.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_spec(file, overrides).spec


def problems(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """Return ``where: what`` of each problem, without the folder, the excerpts and the wraps."""
    with pytest.raises(SeqprofError) as caught:
        load(folder, text, *overrides)
    assert caught.value.exit_code == 2
    message = caught.value.message.replace(f"{folder}{os.sep}", "")
    found = []
    for block in re.split(r"\n(?=s\.yaml:|--set )", message)[1:]:
        lines = block.split("\n")
        if lines[-1].strip() == "^":
            lines = lines[:-2]
        found.append(" ".join(line.strip() for line in lines))
    return found


# What is right


def test_defaults_places_and_kinds_of_numbers(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(LSTM + "train: {learning_rate: 1e-3, weight_decay: .5, clip_norm: 1E5}\n")
    loaded = load_spec(str(file))
    assert (loaded.path, loaded.folder) == (file, tmp_path)
    train = loaded.spec.train
    assert (train.learning_rate, train.weight_decay, train.clip_norm) == (1e-3, 0.5, 1e5)
    assert loaded.spec.data == Spec.model_validate({"model": {"name": "lstm"}}).data


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("+3", 3), ("1.", 1.0), ("-.5e-2", -0.005),
        ("1e3", 1e3), ("yes", "yes"), ("off", "off"), ("True", True), ("2026-11-22", "2026-11-22"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("~", None), ("'1'", "1"), ("!!str 1", "1"),
        ("!!float 1", 1.0), ("[1, {a: b}]", [1, {"a": "b"}]), ("0b1", "0b1"), (".", "."),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2(tmp_path: Path, written: str, read: object) -> None:
    spec = load(tmp_path, f"model: {{target: a:b, kwargs: {{x: {written}}}}}\n")
    assert repr(spec.model.kwargs) == repr({"x": read})


def test_anchors_aliases_and_merge_keys(tmp_path: Path) -> None:
    text = """
model: &base {name: rnn, layers: 2, hidden_size: &size 64}
data:
  seq_len: *size
  lengths: {<<: [{distribution: uniform, minimum: 3}, {minimum: 4, layout: packed}]}
"""
    spec = load(tmp_path, text)
    assert spec.data.seq_len == 64
    assert spec.data.lengths.model_dump(exclude_none=True) == {
        "distribution": "uniform",
        "minimum": 3,
        "layout": "packed",
    }


def test_byte_order_mark_line_ends_and_empty_sections(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfmodel:\r\n  name: lstm\r\n  kwargs:\r\ndata:\r\n  lengths:\r\ntrain: ~\r\n"
    assert load(tmp_path, text) == load(tmp_path, LSTM)


# Where and what


def test_all_problems_are_told_at_once_each_below_its_line(tmp_path: Path) -> None:
    text = """model:
  name: lsmt
  hiden_size: 3
data: {seq_len: many, columns: [1, b, 2]}
train:
  momentum: 0.5
  seq_len: 5
  bogus_key_like_nothing: 1
measure: {timesteps: {stride: 0}, device: GPU}
"""
    with pytest.raises(SeqprofError) as caught:
        load(tmp_path, text)
    lines = caught.value.message.split("\n")
    assert lines[0] == f"10 problems in {tmp_path / 's.yaml'}"
    assert lines[lines.index("    name: lsmt") + 1] == "    ^"
    assert [line.split(" known: ")[0] for line in problems(tmp_path, text)] == [
        "s.yaml:2:3: unknown model 'lsmt'; did you mean 'lstm'?",
        "s.yaml:3:3: unknown key 'hiden_size' in model; did you mean 'hidden_size'?",
        "s.yaml:4:17: data.seq_len: expected a whole number ≥ 2, got 'many'",
        "s.yaml:4:33: data.columns.0: expected text, got 1; put it in quotes if it is meant",
        "s.yaml:4:39: data.columns.2: expected text, got 2; put it in quotes if it is meant",
        "s.yaml:6:3: `momentum` is for sgd, and the optimizer is adam",
        "s.yaml:7:3: unknown key 'seq_len' in train; it belongs to data",
        "s.yaml:8:3: unknown key 'bogus_key_like_nothing' in train;",
        "s.yaml:9:31: measure.timesteps.stride: expected auto or a whole number ≥ 1, got 0",
        "s.yaml:9:43: measure.device: expected text such as 'auto', 'cpu', 'cuda:1', got 'GPU'",
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("layers: true", "1:29", "model.layers: expected a whole number ≥ 1, got true"),
        ("layers: '2'", "1:29", "expected a whole number ≥ 1, got '2'; leave out the quotes"),
        ("layers: 2.0", "1:29", "expected a whole number ≥ 1, got 2.0"),
        ("layers: 3000000000", "1:29", "≥ 1 and ≤ 2147483647, got 3000000000"),
        ("layers: ", "1:28", "expected a whole number ≥ 1, got nothing"),
        ("layers: [2]", "1:29", "expected a whole number ≥ 1, got a list"),
        ("dropout: 1", "1:30", "model.dropout: expected a number ≥ 0 and < 1, got 1"),
        ("bidirectional: yes", "1:36", "got 'yes'; in YAML 1.2 only true and false are"),
        (
            "execution: Cel",
            "1:32",
            "one of cell, fused, parallel, chunked, sequential, got 'Cel'; did you mean 'cell'?",
        ),
        ("layers: 1, layers: 2", "1:32", "'layers' stands here twice; first at line 1, column 21"),
        ("? [a] : b", "1:23", "a key must be a word"),
        ("nmae: x", "1:21", "unknown key 'nmae' in model; did you mean 'name'?"),
        ("<<: 3", "1:25", "'<<' takes a mapping, or a list of mappings"),
        ("kwargs: [1]", "1:29", "model.kwargs: expected a mapping, got a list"),
        ("target: mine", "1:29", "such as 'package.module:function', got 'mine'"),
    ],
)
def test_each_problem_of_a_model_has_its_place_and_words(
    tmp_path: Path, text: str, place: str, words: str
) -> None:
    [problem] = problems(tmp_path, f"model: {{name: lstm, {text}}}")
    assert problem.startswith(f"s.yaml:{place}: ")
    assert words in problem


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("train: {loss: mes}", "3:15", "expected one of auto, cross_entropy, mse or text such as"),
        ("train: {loss: mes}", "3:15", "got 'mes'; did you mean 'mse'?"),
        ("train: {learning_rate: .nan}", "3:24", "expected a finite number, got .nan"),
        ("train: {learning_rate: -.INF}", "3:24", "expected a finite number, got -.INF"),
        ("train: {learning_rate: 1e999}", "3:24", "expected a finite number, got 1e999"),
        ("train: {seed: " + "9" * 5000 + "}", "3:15", "a number of 5000 digits is too large"),
        ("train: {seed: !!int x}", "3:15", "'x' is no int"),
        ("data: {path: !!python/name:os.x y}", "3:14", "the tag python/name:os.x has no meaning"),
        ('data: {path: "\\ud800"}', "3:14", "a lone surrogate is not text"),
        ("data: 3", "3:7", "data: expected a mapping, got 3"),
        ("1: 2", "3:1", "unknown key '1'; known: model, data, train, measure"),
        ("modle: {}", "3:1", "unknown key 'modle'; did you mean 'model'?"),
    ],
    ids=lambda value: value[:40],
)
def test_each_problem_elsewhere_has_its_place_and_words(
    tmp_path: Path, text: str, place: str, words: str
) -> None:
    [problem] = problems(tmp_path, LSTM + text)
    assert problem.startswith(f"s.yaml:{place}: ")
    assert words in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: lstm", "1:8: model: expected a mapping, got 'lstm'"),
        ("model: {name: 3}", "1:15: model.name: expected text, got 3; put it in quotes"),
        ("model: {target: a:b, kwargs: {1: 2}}", "1:31: an argument's name must be text, got 1"),
        ("data: {seq_len: 9}", "1:1: model needs a `name` (rnn, lstm, gru, attention, encoder,"),
        ("model: {nmae: lstm}", "1:9: unknown key 'nmae' in model; did you mean 'name'?"),
    ],
)
def test_each_problem_has_its_place_and_words(tmp_path: Path, text: str, expected: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.startswith(f"s.yaml:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: there is nothing in it"),
        ("# only this\n", "1:1: there is nothing in it"),
        ("- model\n", "1:1: expected `model:`, `data:` …, got a list"),
        ("lstm\n", "1:1: expected `model:`, `data:` …, got 'lstm'"),
        ("model:\n\tname: lstm\n", "2:1: not valid YAML: a tab; YAML is indented with spaces"),
        ("model:\n  name: a: b\n", "2:10: not valid YAML: a ':' too many"),
        ("model:\n   name: lstm\n  layers: 2\n", "3:3: not valid YAML: the indentation does not"),
        ("model: {name: lstm\n", "2:1: not valid YAML: a bracket is not closed"),
        ("model: {name: 'lstm}\n", "2:1: not valid YAML: a quote is not closed"),
        ("model: {name: *gone}\n", "1:15: not valid YAML: found undefined alias 'gone'"),
        (LSTM + "---\n" + LSTM, "3:1: not valid YAML: a second document"),
        ('model: {name: "\\UFFFFFFFF"}', "1:18: not valid YAML: a number here is out of range"),
        ("%YAML " + "9" * 5000 + ".1\n---\n", "1:7: not valid YAML: a number here is"),
        ("model:\n  name: ls\0tm\n", "2:11: the character U+0000 is not allowed in YAML"),
        ("a: \x1b[31m", "1:4: the character U+001B is not allowed in YAML"),
        (b"model:\n  name: \xc3\xa9\xff\n", "2:10: the byte 0xff is not UTF-8"),
        (LSTM.encode("utf-16"), "1:1: this is not UTF-8 but UTF-16 or UTF-32"),
        (LSTM.encode("utf-16-le"), "1:2: the character U+0000 is not allowed in YAML"),
        ("a: " + "[" * 5000, f"1:{MAX_DEPTH + 3}: not valid YAML: nested too deeply"),
        ("model: &m {target: a:b, kwargs: *m}", "1:8: an alias stands for something that"),
        ("model: &m {<<: *m, name: lstm}", "1:8: an alias stands for something that contains"),
    ],
)  # fmt: skip
def test_what_is_no_spec_at_all(tmp_path: Path, text: str | bytes, expected: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.startswith(f"s.yaml:{expected}")


def test_an_alias_bomb_is_refused_and_not_expanded(tmp_path: Path) -> None:
    lines = ["model: {name: lstm}", "data:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    found = problems(tmp_path, "\n".join(lines))
    assert any("expands to far more than a spec can need" in problem for problem in found)


def test_problems_that_follow_from_another_are_left_out(tmp_path: Path) -> None:
    # The misspelled `optimizer` would make momentum impossible, the bad size any number of heads.
    text = """model: {name: attention, hidden_size: x, heads: 3}
train: {optimiser: sgd, momentum: 0.9}
"""
    assert [line.split(": ")[0] for line in problems(tmp_path, text)] == [
        "s.yaml:1:39",
        "s.yaml:2:9",
    ]


def test_many_problems_are_cut(tmp_path: Path) -> None:
    text = LSTM + "".join(f"k{n}: 1\n" for n in range(50))
    with pytest.raises(SeqprofError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith("50 problems in ")
    assert caught.value.message.endswith("… and 30 more")


@pytest.mark.parametrize(
    "line",
    [
        "x" * 300 + ": 1",
        "データ: {キー: 値" + "値" * 80 + "}",
        "model: {name: lstm, comment: '" + "long " * 60 + "', layerz: 2}",
        "model: {target: " + "m" * 200 + "}",
    ],
)
def test_no_line_is_wider_than_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(line + "\n")
    with pytest.raises(SeqprofError) as caught:
        load_spec("s.yaml")
    from rich.cells import cell_len  # an independent measure of width

    assert max(map(cell_len, caught.value.message.split("\n"))) <= 80
    assert "^" in caught.value.message


def test_the_caret_stands_below_what_it_means_after_wide_and_cut_text(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError) as caught:
        load(tmp_path, "model: {name: lstm, 値値: 1, " + " " * 200 + "layers: x}")
    lines = caught.value.message.split("\n")
    wide, cut = (line for line in lines if line.lstrip().startswith(("model: {", "…")))
    # Nothing that stands before 値 is wide, so its index is its column.
    assert wide.index("値") == lines[lines.index(wide) + 1].index("^")
    assert cut[lines[lines.index(cut) + 1].index("^")] == "x"


# --set


def test_set_overrides_creates_and_resets(tmp_path: Path) -> None:
    text = "model: {name: lstm, layers: 3}\ndata:\ntrain: {optimizer: adamw}\n"
    spec = load(
        tmp_path,
        text,
        "data.lengths.distribution=uniform",
        "train.learning_rate=1e-4",
        "model.layers=null",
        "train.optimizer=sgd",
        "train.optimizer=",
        "train.bptt={truncate: 8}",
        "data.path=a=b",
        "measure.timesteps.stride=auto",
    )
    assert spec.data.lengths.distribution == "uniform"
    assert spec.train.learning_rate == 1e-4
    assert (spec.model.layers, spec.train.optimizer) == (1, "adam")
    assert spec.train.bptt.truncate == 8
    assert spec.data.path == "a=b"


def test_set_puts_a_wrong_file_right(tmp_path: Path) -> None:
    text = "model: {name: lsmt, layers: x}\ndata: 3\n"
    spec = load(tmp_path, text, "model.name=gru", "model.layers=2", "data.seq_len=9")
    assert (spec.model.name, spec.model.layers, spec.data.seq_len) == ("gru", 2, 9)


def test_set_on_one_alias_leaves_the_others(tmp_path: Path) -> None:
    text = "model: {target: a:b, kwargs: {x: &x {k: 1}, y: *x}}"
    spec = load(tmp_path, text, "model.kwargs.x.k=2")
    assert spec.model.kwargs == {"x": {"k": 2}, "y": {"k": 1}}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.hidden_size=big", "model.hidden_size: expected a whole number ≥ 1, got 'big'"),
        ("model.hiden_size=3", "unknown key 'hiden_size' in model; did you mean 'hidden_size'?"),
        ("modle.name=gru", "unknown key 'modle'; did you mean 'model'?"),
        ("model.name=gur", "unknown model 'gur'; did you mean 'gru'?"),
        ("model.layers.x=1", "model.layers: expected a whole number ≥ 1, got a mapping"),
        ("model={name: lstm, layers: x}", "model.layers: expected a whole number ≥ 1, got 'x'"),
        ("train.momentum=0.9", "`momentum` is for sgd, and the optimizer is adam"),
        ("train.seed=[1", "not valid YAML: a bracket is not closed, or a comma is missing"),
        ("train.learning_rate=.inf", "expected a finite number, got .inf"),
        (
            "data.lengths={mean: 1, mean: 2}",
            "the key 'mean' stands here twice; first at line 1, column 2",
        ),
        ("seq_len", "expected key=value, such as data.seq_len=128"),
        ("seq_len=3", "unknown key 'seq_len'; it belongs to data"),
        ("=3", "expected key=value, such as data.seq_len=128"),
        ("data..x=3", "expected key=value, such as data.seq_len=128"),
    ],
)
def test_set_is_checked_alike_and_named_in_its_problems(
    tmp_path: Path, override: str, expected: str
) -> None:
    found = problems(tmp_path, LSTM, override)
    assert found == [f"--set {override}: {expected}"]


def test_problems_of_the_file_keep_their_places_beside_set(tmp_path: Path) -> None:
    text = LSTM + "  layers: 0\ntrain:\n  momentum: 0.9\n"
    assert problems(tmp_path, text, "train.optimizer=adamw", "data.seq_len=1") == [
        "s.yaml:3:11: model.layers: expected a whole number ≥ 1, got 0",
        "s.yaml:5:3: `momentum` is for sgd, and the optimizer is adamw",
        "--set data.seq_len=1: data.seq_len: expected a whole number ≥ 2, got 1",
    ]


# The file itself


def error_of(path: Path | str) -> SeqprofError:
    with pytest.raises(SeqprofError) as caught:
        load_spec(path)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_missing_file_is_told_with_what_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text(LSTM)
    (tmp_path / "gru.yaml").write_text(LSTM)
    for typo in ("lstm", "lstn.yaml", "LSTM.yml"):
        error = error_of(tmp_path / typo)
        assert error.message == f"there is no file {tmp_path / typo}"
        assert error.hint == f"did you mean {tmp_path / 'lstm.yaml'}?"
    assert "gru.yaml, lstm.yaml" in str(error_of(tmp_path / "zzzzzzzzz").hint)
    assert "no folder" in error_of(tmp_path / "none" / "lstm.yaml").message
    folder = error_of(tmp_path)
    assert "is a folder" in folder.message
    assert "gru.yaml, lstm.yaml" in str(folder.hint)
    assert error_of(tmp_path / "empty_name\0").message


def test_a_file_that_may_not_be_read_or_is_too_large(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("#" * (MAX_BYTES + 1))
    assert "larger than 256 KiB" in error_of(large).message
    assert "cannot be read" in error_of(large / "inside").message or os.name == "nt"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(LSTM)
    file.chmod(0)
    assert "cannot be read: Permission denied" in error_of(file).message


# Corruptions

JUNK: Sequence[bytes] = (
    b"\x00", b"\xff", b"\t", b"- ", b": ", b"&a ", b"*a", b"<<: *a\n", b"{", b"}", b"[", b"]",
    b"!!python/object:os.system ", b"!!int ", b"!!set ", b"!foo ", b"%YAML 1.9\n", b"---\n",
    b'"\\ud800"', b'"\\UFFFFFFFF"', b'"', b"'", b"|\n", b"? ", b".nan", b"1e999", b"9" * 400,
    b"null", b"true", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\r", b"\x1b[31m", b"#", b"@", b"[" * 60,
    b"kwargs: {1: 2}\n", b"true: 1\n", b"\xf0\x9f\x98\x80", b"columns: [1, 2, {}]\n",
)  # fmt: skip


def _flip(text: bytes, at: int, value: int) -> bytes:
    at %= max(1, len(text))
    return text[:at] + bytes([value]) + text[at + 1 :]


def _insert(text: bytes, at: int, value: int) -> bytes:
    at %= len(text) + 1
    return text[:at] + JUNK[value % len(JUNK)] + text[at:]


def _lines(text: bytes, at: int) -> tuple[list[bytes], int]:
    lines = text.split(b"\n")
    return lines, at % len(lines)


def _delete_line(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    return b"\n".join(lines[:line] + lines[line + 1 :])


def _duplicate_line(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    lines.insert(value % (len(lines) + 1), lines[line])
    return b"\n".join(lines)


def _swap_lines(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    other = value % len(lines)
    lines[line], lines[other] = lines[other], lines[line]
    return b"\n".join(lines)


def _indent(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    lines[line] = b" " * (value % 6) + lines[line].lstrip()
    return b"\n".join(lines)


def _rename_key(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    lines[line] = re.sub(rb"(\w)(\w+):", rb"\2\1:", lines[line], count=1)
    return b"\n".join(lines)


def _change_type(text: bytes, at: int, value: int) -> bytes:
    lines, line = _lines(text, at)
    lines[line] = re.sub(rb": .*", lambda _: b": " + JUNK[value % len(JUNK)], lines[line], count=1)
    return b"\n".join(lines)


CORRUPTIONS = (
    _flip,
    _insert,
    _delete_line,
    _duplicate_line,
    _swap_lines,
    _indent,
    _rename_key,
    _change_type,
)


@st.composite
def corrupted_samples(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(SAMPLES)).read_bytes()
    for corrupt in draw(st.lists(st.sampled_from(CORRUPTIONS), min_size=1, max_size=4)):
        text = corrupt(text, draw(st.integers(0, 2000)), draw(st.integers(0, 255)))
    return text


@pytest.fixture(scope="module")
def corrupted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corrupted") / "s.yaml"


# The same 500 every time: what passes here must not fail for whoever runs it next.
@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(text=corrupted_samples())
def test_corrupted_samples_give_a_spec_or_a_place(corrupted_file: Path, text: bytes) -> None:
    corrupted_file.write_bytes(text)
    try:
        spec = load_spec(corrupted_file).spec
    except SeqprofError as error:
        refused = error
    else:
        assert Spec.model_validate(spec.model_dump()) == spec
        return
    assert refused.exit_code == 2
    name = re.escape(str(corrupted_file))
    places = re.findall(rf"(?m)^{name}:(\d+):(\d+):(?: |$)", refused.message)
    assert places
    assert all(1 <= int(line) <= len(text) + 1 and int(column) >= 1 for line, column in places)


@pytest.mark.parametrize(
    "text",
    [
        "model: {name: lstm\n",
        "model: {name: lstm, layers: x}\n",
        "- 1\n",
        "model: {name: attention, heads: 3}\n",
    ],
)
def test_the_command_refuses_a_wrong_spec_without_a_traceback(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", "run", "bad.yaml", "--set", "train.momentum=2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(r"^bad\.yaml:\d+:\d+: ", done.stderr, re.M)
    assert "Traceback" not in done.stderr
