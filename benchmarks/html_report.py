"""How soon an HTML report shows its first plot in headless Chromium, and how large it is.

pip install -c constraints.txt -e '.[test,browser]'    # and Debian's chromium
python benchmarks/html_report.py                        # pages of planted runs
python benchmarks/html_report.py PAGE.html …            # pages that seqprof wrote
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from html_results import FIRST_PLOT, long_run

from seqprof.reports.formats import result_of
from seqprof.reports.renderers import HTML

OPENINGS = 5
#: Timesteps and loops of the planted runs.
PLANTED = ((64, 1), (16_384, 1), (16_384, 12))


def planted(folder: Path) -> Iterator[Path]:
    """Write the pages of runs as the tests plant them."""
    for timesteps, loops in PLANTED:
        page = folder / f"T={timesteps},loops={loops}.html"
        names = [f"body.layers.{layer}.cell" for layer in range(loops)]
        page.write_bytes(HTML.render([result_of(long_run(timesteps, names), "run.json")]))
        yield page


def first_plot_ms(browser: Browser, page: Path) -> float:
    """Milliseconds from asking for the page to its first plot."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.goto(page.resolve().as_uri())
    reached = float(opened.evaluate(FIRST_PLOT))
    opened.close()
    return reached


def main() -> None:
    """Print size and times of each page."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pages = [Path(name) for name in sys.argv[1:]] or list(planted(Path(folder)))
        for page in pages:
            times = []
            for _ in range(OPENINGS):
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                times.append(first_plot_ms(browser, page))
                browser.close()
            print(
                f"{page.stem}: {page.stat().st_size / 1e6:.2f} MB, first plot after "
                f"{min(times):.0f} to {max(times):.0f} ms in {OPENINGS} openings"
            )


if __name__ == "__main__":
    main()
