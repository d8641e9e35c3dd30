"""Draws the pictures from real results: python docs/scripts/pictures.py RUN.json [EXPLAIN.json].

The terminal's picture is what `seqprof show` prints, as SVG; the report's is a screenshot
of the HTML report by a headless chromium, left as it is where there is none. The page of an
explanation is kept whole.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parents[1] / "pictures"
EXAMPLES = Path(__file__).parents[1] / "examples"
_WIDTH = 92
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def terminal(result: Path, command: str) -> str:
    """Return the SVG of what `seqprof show` prints of a result of ``command``."""
    shown = _show(result).stdout
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Text.from_ansi(shown.rstrip("\n")))
    return console.export_svg(title=f"seqprof {command}", unique_id=f"seqprof-{command}")


def screenshot(recording: Path, target: Path) -> bool:
    """Write a screenshot of the HTML report; False where there is no browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        return False
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        _show(recording, "-o", str(page))
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,1400",
             f"--screenshot={target}", page.as_uri()],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return True


def _show(recording: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seqprof", "show", str(recording), *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH), "TERM": "xterm-256color"},
    )


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for result, command in zip(map(Path, sys.argv[1:]), ("run", "explain"), strict=False):
        (PICTURES / f"{command}.svg").write_text(terminal(result, command), encoding="utf-8")
    for result in map(Path, sys.argv[2:3]):
        EXAMPLES.mkdir(exist_ok=True)
        _show(result, "-o", str(EXAMPLES / "explain.html"))
    if not screenshot(Path(sys.argv[1]), PICTURES / "report.png"):
        print("no chromium here: report.png was left as it is", file=sys.stderr)
