"""`-f` and `-o` as a user gives them: where results go, what is refused, and before what."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import command_line
import pytest
from command_line import TINY, Done
from example_recordings import ALL
from format_results import small
from real_results import RealResult
from stored_results import save
from traces_fixtures import annotation, kernel, launch, write_trace

from seqprof.reports import formats
from seqprof.reports.formats import Kind

EVENTS = [
    annotation("ProfilerStep#3", 0, 100),
    launch(5, 1),
    launch(25, 2),
    kernel("gemm", 10, 30, 1),
    kernel("b", 50, 100, 2),
]
REPO = Path(__file__).parents[2]


def seqprof(*arguments: str | Path, **env: str) -> Done:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    utf_8 = {"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    return command_line.seqprof(*arguments, env={**kept, **utf_8, **env})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    paths = {}
    for name in ("cpu_cell", "cpu_fused"):
        recording = ALL[name]()
        paths[name] = folder / f"{name}.json"
        save(recording, paths[name])
    return paths


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


# show -----------------------------------------------------------------------------------------


def test_files_take_their_format_from_their_ending(runs: dict[str, Path], tmp_path: Path) -> None:
    names = ("a.csv", "a.md", "a.prom", "a.trace.json", "a.html", "a.txt", "a.json", "other")
    paths = [tmp_path / name for name in names]
    shown = seqprof("show", runs["cpu_cell"], *(w for path in paths for w in ("-o", path)))
    assert (shown.returncode, shown.stdout) == (0, "")
    assert shown.stderr == "".join(f"written: {path}\n" for path in paths)
    starts = [path.read_bytes()[:9].lower() for path in paths]
    assert starts[:4] == [b"run,kind,", b"### lstm ", b"# help se", b'{"display']
    assert starts[4:6] == [b"<!doctype", b"lstm (cel"]
    assert paths[6].read_bytes() == paths[7].read_bytes() == runs["cpu_cell"].read_bytes()


def test_format_names_it_outright(runs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    shown = seqprof("show", "-f", "markdown", runs["cpu_cell"], "-o", path)
    assert (shown.returncode, shown.stdout) == (0, "")
    printed = seqprof("show", "-f", "markdown", runs["cpu_cell"])
    assert printed.stderr == ""
    assert printed.stdout == path.read_text(encoding="utf-8")
    assert seqprof("show", "-f", "table", runs["cpu_cell"]).stdout.startswith("lstm (cell)")
    dash = seqprof("show", "-f", "csv", "-o", "-", runs["cpu_cell"])
    assert dash.stdout.startswith("run,kind,")


def test_several_in_one_document_and_in_lines(runs: dict[str, Path]) -> None:
    csv = seqprof("show", "-f", "csv", *runs.values()).stdout
    assert {str(path) for path in runs.values()} == {
        line.split(",")[0] for line in csv.splitlines()[1:]
    }
    lines = seqprof("show", "-f", "json", *runs.values()).stdout.splitlines()
    assert [json.loads(line)["recording"]["kind"] for line in lines] == ["run", "run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-f", "cvs"), "no format is called 'cvs'; did you mean 'csv'?"),
        (("-o", "/no/such/folder/a.csv"), "there is no folder /no/such/folder"),
        (("-f", "csv", "-o", "."), "it is a folder"),
        (("-o", "-", "-o", "x.csv", "-o", "./x.csv"), None),
        (("-f", "csv", "-o", "-", "-o", "-"), None),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...],
    message: str | None,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = seqprof("show", runs["cpu_cell"], *arguments)
    if message is None:  # the same thing twice is no contradiction
        assert shown.returncode == 0, shown.stderr
        return
    assert (shown.returncode, shown.stdout) == (2, "")
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_depth_and_trace_are_read_back(tmp_path: Path) -> None:
    kinds: tuple[Kind, ...] = ("depth", "trace")
    for kind in kinds:
        result = small(kind, tmp_path)
        document = formats.load("json").render([result])
        path = tmp_path / f"{kind}-kept.json"
        path.write_bytes(document)
        again = seqprof("show", "-f", "json", path)
        assert again.stdout.encode() == document, again.stderr
        assert seqprof("show", path).stdout
        newer, changed = re.subn(
            rb'"schema_version": \d+', b'"schema_version": 99', document, count=1
        )
        assert changed
        path.write_bytes(newer)
        assert "newer seqprof" in seqprof("show", path).stderr
        path.write_bytes(b'{"schema_version": 1, "models": [3], "traces": 4}')
        damaged = seqprof("show", path)
        assert (damaged.returncode, "Traceback" in damaged.stderr) == (2, False)


def test_a_profilers_trace_is_told_where_it_belongs(tmp_path: Path) -> None:
    shown = seqprof("show", write_trace(tmp_path / "t.json", EVENTS))
    assert shown.returncode == 2
    assert "seqprof trace" in shown.stderr


def test_one_file_that_fails_does_not_cost_the_others(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    same = (runs["cpu_cell"], runs["cpu_cell"])
    shown = seqprof("show", *same, "-o", tmp_path / "a.prom", "-o", tmp_path / "a.csv")
    assert shown.returncode == 2
    assert "one name" in shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


# The commands that measure --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-f", "jsn"), "did you mean 'json'?"),
        (("--json", "-f", "csv"), "--json and --format csv contradict"),
        (("-o", "/no/such/folder/a.csv"), "there is no folder"),
        (("--json", "-o", "-", "-f", "csv"), "contradict"),
    ],
)
@pytest.mark.parametrize("command", ["run", "compare", "scale", "depth"])
def test_refused_before_torch_is_loaded(
    command: str, arguments: tuple[str, ...], message: str, config: Path
) -> None:
    words = [config] if command == "run" else ["lstm", "gru"]
    code = (
        "import sys\n"
        f"sys.argv = {['seqprof', command, *map(str, words), *arguments]!r}\n"
        "from seqprof.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 2, end.code\n"
        "else:\n    raise AssertionError('not refused')\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_depth_cannot_be_prometheus() -> None:
    done = seqprof("depth", "lstm", "-o", "a.prom")
    assert done.returncode == 2
    assert "prometheus cannot show what `seqprof depth` found" in done.stderr


def test_run_writes_each_and_prints_the_tables(real_run: RealResult) -> None:
    assert "A step takes" in real_run.stdout
    written = real_run.path.with_suffix(".csv").read_text()
    assert written.count("tiny.yaml,run,") > 50
    shown = seqprof("show", "-f", "csv", real_run.path)
    assert written.replace("tiny.yaml", "") == shown.stdout.replace(str(real_run.path), "")
    assert "seqprof_step_time_seconds{" in real_run.path.with_suffix(".prom").read_text()


def test_trace_in_any_format(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.json", EVENTS)
    done = seqprof("trace", path, "-f", "csv")
    assert done.returncode == 0, done.stderr
    assert "idle_time" in done.stdout
    both = seqprof("trace", path, path, "-o", tmp_path / "t.md", "--json")
    assert len(json.loads(both.stdout)["traces"]) == 2
    assert (tmp_path / "t.md").read_text().count("### Trace") == 2


# Formats of other packages --------------------------------------------------------------------


@pytest.fixture
def plug_ins(tmp_path: Path) -> str:
    """A package that adds formats, as installed: its code and its metadata, on the path."""
    site = tmp_path / "site"
    metadata = site / "shouting-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[seqprof.reports]\n"
        "shout = shouting:SHOUT\nfaulty = shouting:FAULTY\nlost = shouting.gone:X\n"
        "wrong = shouting:render\ncsv = shouting:SHOUT\n"
    )
    (site / "shouting.py").write_text(
        textwrap.dedent(
            """
            from dataclasses import replace
            from seqprof.reports.formats import Format

            def render(results):
                return "".join(f"{r.kind.upper()} {len(r.rows())}!\\n" for r in results).encode()

            def fail(results):
                raise ValueError("no voice")

            SHOUT = Format(
                name="shout", title="louder", suffixes=(".loud",),
                kinds=frozenset({"run"}), several=False, render=render,
            )
            FAULTY = replace(SHOUT, name="faulty", suffixes=(".faulty",), render=fail)
            """
        )
    )
    return os.pathsep.join([str(site), str(REPO)])


def test_a_plug_in_is_a_format_like_others(
    plug_ins: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    run = runs["cpu_cell"]
    shown = seqprof("show", "-f", "shout", run, PYTHONPATH=plug_ins)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("RUN ")
    out = tmp_path / "x.loud"
    assert seqprof("show", run, "-o", out, PYTHONPATH=plug_ins).returncode == 0
    assert out.read_text() == shown.stdout
    several = seqprof("show", "-f", "shout", run, run, PYTHONPATH=plug_ins)
    assert "one result at a time" in several.stderr
    assert seqprof("show", "-f", "csv", run, PYTHONPATH=plug_ins).stdout.startswith("run,kind")


def test_a_broken_plug_in_is_one_message_and_breaks_nothing_else(
    plug_ins: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    for name, message in (
        ("faulty", "the format faulty failed: ValueError: no voice"),
        ("lost", "cannot be loaded: ModuleNotFoundError"),
        ("wrong", "is no seqprof.reports.formats.Format"),
    ):
        shown = seqprof("show", "-f", name, runs["cpu_cell"], PYTHONPATH=plug_ins)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert message in shown.stderr
        assert "Traceback" not in shown.stderr
    files = ("-o", tmp_path / "a.faulty", "-o", tmp_path / "a.md", "-o", tmp_path / "unknown")
    shown = seqprof("show", runs["cpu_cell"], *files, PYTHONPATH=plug_ins)
    assert shown.returncode == 1
    assert {p.name for p in tmp_path.iterdir()} >= {"a.md", "unknown"}
    listed = seqprof("list", "formats", PYTHONPATH=plug_ins)
    assert listed.returncode == 0
    words = " ".join(listed.stdout.split())
    assert "shout louder (.loud; of run; one at a time)" in words
    assert "ModuleNotFoundError" in words
    assert words.count("csv tidy") == 1


# Start-up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csv", "markdown", "prometheus", "chrome", "json", "html"])
def test_no_heavy_library_is_imported(name: str, runs: dict[str, Path]) -> None:
    argv = ["seqprof", "show", "-f", name, str(runs["cpu_fused"])]
    code = (
        "import sys\n"
        f"sys.argv = {argv!r}\n"
        "from seqprof.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "loaded = {'torch', 'scipy', 'numpy', 'seqprof.spec', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        f"assert {name!r} == 'html' or 'rich' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
