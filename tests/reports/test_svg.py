"""Plots as files: every chart of every kind, well-formed, and names that attack stay names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import seqprof
from html_results import HOSTILE, every_kind, long_run

from seqprof.reports.documents import document_of
from seqprof.reports.formats import result_of
from seqprof.reports.renderers.svg import plots_of

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", [None, HOSTILE])
def test_every_plot_is_well_formed(name: str | None, tmp_path: Path) -> None:
    for kind, result in every_kind(tmp_path, name).items():
        for file, content in plots_of(document_of(result)):
            tree = ElementTree.fromstring(content)
            assert tree.tag == f"{_SVG}svg", kind
            tags = {element.tag.removeprefix(_SVG) for element in tree.iter()}
            assert tags <= {"svg", "title", "rect", "text", "line", "polyline", "circle"}
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
    assert sorted(path.suffix for path in (tmp_path / "plots").iterdir())[0] == ".svg"
