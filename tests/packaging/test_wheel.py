"""The wheel and the sdist hold what the commands need, and work where there is no clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from seqprof import __version__

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sdist and wheel, built from a copy: a build leaves files in its source."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    for name in ("seqprof", "sample_configs", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE",
                 "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt"):  # fmt: skip
        shutil.copy(ROOT / name, source)
    code = (
        "from setuptools import build_meta as b; import sys; to = sys.argv[1]; "
        "b.build_sdist(to); b.build_wheel(to)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=source, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel installed, and the dependencies of this one lent to it."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
         "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    lent = [path for path in sys.path if path.endswith("site-packages")]
    # Only the path: a .pth of this environment may point to the clone, and is not read from there.
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    return interpreter


def seqprof(python: Path, folder: Path, *words: str) -> str:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-m", "seqprof", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**env, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_the_samples(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "seqprof").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    samples = {f"seqprof/{p.relative_to(ROOT).as_posix()}" for p in ROOT.glob("sample_configs/*.*")}
    assert package | samples <= names


def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    code = "from setuptools import build_meta as b; import sys; b.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    (first,), (second,) = built.glob("*.whl"), tmp_path.glob("*.whl")
    assert set(zipfile.ZipFile(first).namelist()) == set(zipfile.ZipFile(second).namelist())


def test_its_description_says_who_it_is_and_leads_nowhere_relative(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    body = str(metadata.get_payload())
    assert "seqprof run" in body
    assert not re.findall(r"\]\((?!\w+://|#)[^)]*\)", body)
    required = [line.split(";")[0] for line in metadata.get_all("Requires-Dist", [])]
    assert "torch>=2.4" in required
    assert not [line for line in required if "<" in line and "mkdocs" not in line]


def test_the_first_minute_without_clone_or_config(python: Path, tmp_path: Path) -> None:
    assert "site-packages" in seqprof(python, tmp_path, "list", "configs")
    short = ("--seq-len", "16", "--hidden", "16", "--batch", "4", "-q")
    fast = ("--set", "measure.pairs=3", "--set", "measure.max_s=1")
    ran = seqprof(python, tmp_path, "run", "lstm", *short, *fast, "-o", "run.html")
    assert "lstm (cell)" in ran
    assert "uPlot" in (tmp_path / "run.html").read_text()
    assert "own_model" in seqprof(python, tmp_path, "depth", "@own_model", "--seq-len", "8")
    compared = seqprof(python, tmp_path, "compare", "lstm", "attention", "--rounds", "6", *short)
    assert "attention" in compared
