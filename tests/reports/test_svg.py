"""Plots as files: every chart of every kind, well-formed, and names that attack stay names."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import seqprof
from html_results import HOSTILE, every_kind, long_run

from seqprof.reports.documents import document_of
from seqprof.reports.formats import result_of
from seqprof.reports.renderers.png import png
from seqprof.reports.renderers.svg import plots_of

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", [None, HOSTILE])
def test_every_plot_is_well_formed(name: str | None, tmp_path: Path) -> None:
    for kind, result in every_kind(tmp_path, name).items():
        for file, content in plots_of(document_of(result)):
            tree = ElementTree.fromstring(content)
            assert tree.tag == f"{_SVG}svg", kind
            tags = {element.tag.removeprefix(_SVG) for element in tree.iter()}
            assert tags <= {"svg", "title", "rect", "text", "line", "polyline", "circle", "g"}
            assert "/" not in file


def test_a_line_has_as_many_points_as_timesteps(tmp_path: Path) -> None:
    plots = dict(plots_of(document_of(result_of(long_run(64), "run.json"))))
    tree = ElementTree.fromstring(next(iter(plots.values())))
    lines = tree.findall(f"{_SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [64, 64]


def test_a_folder_is_filled(tmp_path: Path) -> None:
    from stored_results import save

    made = result_of(long_run(64), "run.json")
    assert made.recording is not None
    save(made.recording, tmp_path / "run.json")
    done = seqprof("show", tmp_path / "run.json", "-o", f"{tmp_path}/plots/")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    written = sorted((tmp_path / "plots").iterdir())
    assert [path.suffix for path in written[:2]] == [".png", ".svg"]
    assert written[0].stem == written[1].stem
    assert "seqprof[png]" not in done.stderr


def test_a_png_is_as_large_as_its_svg_says() -> None:
    drawn = "<svg xmlns='http://www.w3.org/2000/svg' width='30' height='20'/>"
    content = png(drawn)
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (60, 40)


def test_without_the_package_there_is_svg_and_a_word_of_png(tmp_path: Path) -> None:
    from stored_results import save

    made = result_of(long_run(64), "run.json")
    assert made.recording is not None
    save(made.recording, tmp_path / "run.json")
    without = (
        "import importlib.util as u, sys; find = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'resvg_py' else find(name, *rest);"
        "from seqprof.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, "show", "run.json", "-o", "plots/"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pip install 'seqprof[png]'" in done.stderr
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".svg"}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_one_file_for_all_plots_is_refused(ending: str, tmp_path: Path) -> None:
    done = seqprof("show", tmp_path / "run.json", "-o", tmp_path / f"plot.{ending}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
