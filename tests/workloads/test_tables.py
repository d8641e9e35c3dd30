"""Delimited files as people have them: what is found in them, what is done with gaps and series."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqprof.spec import DataSpec, Spec
from seqprof.workloads.data.opening import open_data
from seqprof.workloads.data.table import NumberTable, parse_number, read_table
from seqprof.workloads.data.text import read_corpus


def read(folder: Path, content: str | bytes, **data: Any) -> NumberTable:
    """The table that ``content`` holds as a file."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "t.csv").write_bytes(raw)
    return read_table(folder / "t.csv", DataSpec.model_validate(data))


@pytest.mark.parametrize(
    ("content", "names", "first"),
    [
        ("Zeit;Wärme\r\n1,5;2,25\r\n".encode("latin-1"), ("Zeit", "Wärme"), (1.5, 2.25)),
        ("Zeit;Wärme\n1,5;2,25\n".encode("utf-16"), ("Zeit", "Wärme"), (1.5, 2.25)),
        ("a;b\n1.234,5;-0,25\n", ("a", "b"), (1234.5, -0.25)),
        ("t;\tb [%]\n1;\t2.5\n", ("t", "b [%]"), (1, 2.5)),
        ("a|b\n1|2\n", ("a", "b"), (1, 2)),
        ("0.5,7\n0.25,8\n", ("1", "2"), (0.5, 7)),
        ("2020-01-01,7\n2020-01-02,8\n", ("2",), (7,)),
        ('when,"x, y"\n2020,"3"\n', ("when", "x, y"), (2020, 3)),
        ("a,b\n?,1\n3,2\n", ("a", "b"), (3, 1)),
    ],
)
def test_the_form_of_a_file_is_found(
    tmp_path: Path, content: str | bytes, names: tuple[str, ...], first: tuple[float, ...]
) -> None:
    table = read(tmp_path, content, missing="interpolate")
    assert table.names == names
    assert tuple(table.values[0].tolist()) == first


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_told_by_their_content(tmp_path: Path, compress: Any) -> None:
    assert read(tmp_path, compress(b"a,b\n1,2\n")).values.tolist() == [[1, 2]]
    (tmp_path / "corpus.txt").write_bytes(compress(b"some words"))
    assert bytes(read_corpus("corpus.txt", tmp_path).text.tolist()) == b"some words"


def test_text_in_another_encoding_becomes_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Wärme".encode("utf-16"))
    (tmp_path / "b.txt").write_bytes("Wärme".encode("latin-1"))
    marked = read_corpus("a.txt", tmp_path)
    given_ = read_corpus("b.txt", tmp_path, "latin-1")
    assert bytes(marked.text.tolist()) == bytes(given_.text.tolist()) == "Wärme".encode()


def test_what_is_said_goes_before_what_is_found(tmp_path: Path) -> None:
    assert read(tmp_path, "1,2\n3,4\n", header=True).names == ("1", "2")
    assert read(tmp_path, "a;b\n1,5;2,5\n", decimal=",").values.tolist() == [[1.5, 2.5]]


GAPS = "y,x\n1,0\n?,1\n,2\n4,3\nNaN,4\n"


@pytest.mark.parametrize(
    ("how", "values"),
    [
        ("fill", [1, 1, 1, 4, 4]),
        ("interpolate", [1, 2, 3, 4, 4]),
        ("drop", [1, 4]),
    ],
)
def test_gaps_become_what_was_asked_for(tmp_path: Path, how: str, values: list[float]) -> None:
    table = read(tmp_path, GAPS, missing=how)
    assert table.values[:, 0].tolist() == values
    assert "3" in table.notes[0]


def test_gaps_are_filled_within_a_series(tmp_path: Path) -> None:
    table = read(tmp_path, "s,y\nA,1\nB,5\nA,\nB,\nB,7\n", group="s", missing="interpolate")
    assert table.segments == ((0, 2), (2, 3))
    assert table.values[:, 0].tolist() == [1, 1, 5, 6, 7]
    assert table.left_out == ()


def test_no_window_goes_from_one_series_to_the_next(tmp_path: Path) -> None:
    rows = [f"S{s},{1000 * s + i}" for i in range(30) for s in range(3)]  # interleaved
    (tmp_path / "t.csv").write_text("s,y\n" + "\n".join([*rows, "short,1"]) + "\n")
    data = {"kind": "csv", "path": "t.csv", "group": "s", "seq_len": 20, "batch_size": 64}
    spec = Spec.model_validate({"model": {"name": "lstm"}, "data": data})
    opened = open_data(spec, tmp_path)
    assert "4 series" in opened.facts.description
    assert "1 series too short" in opened.facts.description
    step = None
    for batch in islice(opened, 5):
        whole = torch.cat([batch.inputs[..., 0], batch.targets[:, -1:, 0]], 1)
        steps = whole.diff(dim=1)
        step = steps[0, 0] if step is None else step
        torch.testing.assert_close(steps, step.expand_as(steps), rtol=0, atol=1e-4)


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_a_number_is_read_as_it_is_written(value: float, digits: int) -> None:
    text = f"{value:.{digits}f}"
    expected = float(text)
    assert parse_number(text, comma=False) == expected
    assert parse_number(text.replace(".", ","), comma=True) == expected
    grouped = f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))
    assert math.isclose(parse_number(grouped, comma=True) or 0.0, expected)
