"""The HTML report as a reader meets it: in Chromium, by mouse, by keyboard, on a phone, printed."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from example_recordings import ALL
from html_results import FIRST_PLOT, HOSTILE, every_kind, explanation, long_run, marked_in_part

from seqprof.analysis.explain.summary import explain
from seqprof.reports.formats import Result, result_of
from seqprof.reports.renderers import HTML

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (pip install seqprof[browser])"
)
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no program chromium (a Debian package)"),
]
#: Where nothing is slow a page of 16,384 timesteps takes 0.3 s; a test on a loaded machine only
#: says that it is not minutes.
SANE_MS = 60_000
SVG = "{http://www.w3.org/2000/svg}"
KINDS = ["run", "compare", "scale", "depth", "explain", "trace"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Opened:
    """A page that notes whatever goes wrong in it, and whatever it asks the network for."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.page.set_default_timeout(60_000)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def draw_all(self) -> None:
        """Scroll through, so that every plot comes into view and is drawn."""
        self.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        for figure in self.page.locator("figure.chart").all():
            figure.scroll_into_view_if_needed()
            figure.locator("canvas").first.wait_for(state="attached")

    def first_plot_ms(self) -> float:
        """How long after the page was asked for the first plot was on the screen."""
        reached: float = self.page.evaluate(FIRST_PLOT)
        return reached

    def overflow(self) -> int:
        """How far the page reaches beyond the window, in pixels."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    """A file of each kind."""
    files = {}
    for kind, result in every_kind(tmp_path).items():
        files[kind] = tmp_path / f"{kind}.html"
        files[kind].write_bytes(HTML.render([result]))
    return files


def _long(folder: Path, timesteps: int) -> Path:
    file = folder / f"long{timesteps}.html"
    file.write_bytes(HTML.render([result_of(long_run(timesteps), "long.json")]))
    return file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_draws_without_a_word_on_the_console(
    browser: Browser, written: dict[str, Path], kind: str, scheme: Any
) -> None:
    opened = Opened(browser, written[kind], color_scheme=scheme)
    opened.draw_all()
    assert opened.faults == []
    assert opened.requests == [written[kind].as_uri()]


def test_a_hover_shows_the_value_and_its_band(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 64))
    plot = opened.page.locator("figure.chart .plot").first
    plot.locator("canvas").wait_for()
    plot.scroll_into_view_if_needed()
    over = plot.locator(".u-over").bounding_box()
    assert over is not None
    opened.page.mouse.move(over["x"] + over["width"] / 3, over["y"] + over["height"] / 2)
    figure = opened.page.locator("figure.chart").first
    assert figure.locator(".at output").inner_text() == "timestep: 21"
    # Timestep 21 is the slow one: from 0.9 to 1.2 times of its median, in the unit of it.
    assert "900 µs (810–1,080)" in figure.locator(".legend").first.inner_text()


def test_keys_read_and_zoom(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 64))
    plot = opened.page.locator("figure.chart .plot").first
    plot.locator("canvas").wait_for()
    figure = opened.page.locator("figure.chart").first
    plot.focus()
    plot.press("Home")
    plot.press("ArrowRight")
    at = figure.locator(".at output")
    assert at.inner_text() == "timestep: 1"
    # A screen reader is told the same.
    told = figure.locator(".announced").text_content() or ""
    assert re.match(r"timestep: 1\. forward \(host\) \d+ µs", told)
    plot.press("+")
    plot.press("+")
    for _ in range(40):
        plot.press("ArrowRight")
    assert at.inner_text() == "timestep: 41"  # beyond what was in view: it moved along
    plot.press("Escape")


def test_dragging_zooms_and_a_button_shows_all_again(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 256))
    figure = opened.page.locator("figure.chart").first
    figure.locator(".u-over").scroll_into_view_if_needed()
    over = figure.locator(".u-over").bounding_box()
    assert over is not None

    def at_the_left() -> int:
        opened.page.mouse.move(over["x"] + 1, over["y"] + 50)
        opened.page.mouse.move(over["x"], over["y"] + 50)
        return int(figure.locator(".at output").inner_text().removeprefix("timestep: "))

    assert at_the_left() == 0
    opened.page.mouse.move(over["x"] + over["width"] / 2, over["y"] + 50)
    opened.page.mouse.down()
    opened.page.mouse.move(over["x"] + over["width"] * 0.75, over["y"] + 50, steps=4)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(100)
    assert at_the_left() > 100
    figure.get_by_role("button", name="Whole range").click()
    opened.page.wait_for_timeout(100)
    assert at_the_left() == 0


def test_the_buttons_are_buttons_and_tell_their_state(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 64))
    figure = opened.page.locator("figure.chart").first
    log = figure.get_by_role("button", name="Log scale")
    assert log.get_attribute("aria-pressed") == "false"
    log.press("Enter")
    assert log.get_attribute("aria-pressed") == "true"
    forward = figure.get_by_role("button", name="forward (host)")
    forward.press("Space")
    assert forward.get_attribute("aria-pressed") == "false"
    assert opened.faults == []


def test_a_logarithmic_scale_gives_room_to_what_is_small(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 64))
    figure = opened.page.locator("figure.chart").first
    plot = figure.locator(".plot")

    def height_of(timestep: int) -> float:
        plot.press("Home")
        for _ in range(timestep):
            plot.press("ArrowRight")
        point = figure.locator(".u-cursor-pt").first.bounding_box()
        over = figure.locator(".u-over").bounding_box()
        assert point is not None
        assert over is not None
        height = point["y"] + point["height"] / 2 - over["y"]
        return 1.0 - float(height / over["height"])

    # A typical timestep takes 150 µs, timestep 21 takes 900 µs.
    linear = [height_of(t) for t in (0, 21)]
    figure.get_by_role("button", name="Log scale").click()
    logarithmic = [height_of(t) for t in (0, 21)]
    assert linear[1] / linear[0] == pytest.approx(6.0, rel=0.2)
    assert logarithmic[0] > 1.2 * linear[0]  # what is small gets room
    assert logarithmic[1] / logarithmic[0] < 0.9 * linear[1] / linear[0]


def test_a_timestep_between_two_that_were_not_marked_is_seen(
    browser: Browser, tmp_path: Path
) -> None:
    # Timestep 100 takes 900 µs, the others 150 µs; 99 and 101 are not marked.
    made = marked_in_part(long_run(300), lambda t: t % 5 not in (1, 4))
    file = tmp_path / "alone.html"
    file.write_bytes(HTML.render([result_of(made, "alone.json")]))
    opened = Opened(browser, file, color_scheme="light")
    opened.draw_all()
    painted = opened.page.locator("figure.chart canvas").first.evaluate(
        """canvas => {
          const {data} = canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height / 2);
          let found = 0;
          for (let i = 0; i < data.length; i += 4) {
            const [red, , blue, alpha] = data.slice(i, i + 4);
            if (alpha > 200 && Math.abs(red - blue) > 80) found++;
          }
          return found;
        }"""
    )
    assert painted > 4


def test_phases_lie_behind_the_samples_in_their_colours(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "accelerator.html"
    file.write_bytes(HTML.render([result_of(ALL["accelerator"](), "run.json")]))
    opened = Opened(browser, file, color_scheme="light")
    opened.draw_all()
    figure = opened.page.locator("figure.chart:has(.behind)").first
    canvas = figure.locator("canvas").first
    # What is tinted and not opaque, along a row in the lower half of the plot.
    tints = canvas.evaluate(
        """canvas => {
          const row = canvas.getContext("2d")
            .getImageData(0, canvas.height * 0.6, canvas.width, 1).data;
          const found = {};
          for (let i = 0; i < row.length; i += 4) {
            if (row[i + 3] < 20 || row[i + 3] > 120) continue;
            const name = row[i] > row[i + 2] ? "backward" : "forward";
            found[name] = (found[name] || 0) + 1;
          }
          return found;
        }"""
    )
    assert tints["forward"] > 50
    assert tints["backward"] > 50
    behind = figure.locator(".behind").inner_text()
    assert "measured steps" in behind
    assert "optimizer" in behind


def test_a_finger_reads_a_value(browser: Browser, tmp_path: Path) -> None:
    phone = {"width": 390, "height": 740}
    opened = Opened(browser, _long(tmp_path, 64), viewport=phone, has_touch=True)
    figure = opened.page.locator("figure.chart").first
    figure.locator(".u-over").tap(position={"x": 100, "y": 80})
    assert re.fullmatch(r"timestep: \d+", figure.locator(".at output").inner_text())
    assert "µs" in figure.locator(".legend output").first.inner_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_tab_key_reaches_everything(
    browser: Browser, written: dict[str, Path], kind: str
) -> None:
    opened = Opened(browser, written[kind])
    opened.draw_all()
    opened.page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    reached = []
    for _ in range(400):
        opened.page.keyboard.press("Tab")
        reached.append(
            opened.page.evaluate(
                """(() => {
                  const all = [...document.querySelectorAll("a, button, summary, [tabindex]")];
                  return all.indexOf(document.activeElement);
                })()"""
            )
        )
        if reached[-1] == -1:  # past the last one, out of the page
            break
    controls = opened.page.locator("a, button, summary, [tabindex]").count()
    assert set(range(controls)) <= set(reached)
    assert reached[:-1] == sorted(reached[:-1])  # in the order in which they stand


def test_the_theme_can_be_changed_whatever_the_system_says(
    browser: Browser, written: dict[str, Path]
) -> None:
    opened = Opened(browser, written["run"], color_scheme="dark")

    def background() -> list[int]:
        found = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in re.findall(r"\d+", found)[:3]]

    assert max(background()) < 64
    opened.page.get_by_role("button", name="Light colours").click()
    assert min(background()) > 192
    opened.page.get_by_role("button", name="Dark colours").click()
    assert max(background()) < 64


def test_the_map_is_read_by_pointer_and_by_keys(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, _long(tmp_path, 64))
    opened.draw_all()
    figure = opened.page.locator("figure.chart:has(.map)").first
    holder = figure.locator(".map")
    holder.hover(position={"x": 2, "y": 2})
    readout = figure.locator(".at output")
    assert re.fullmatch(r"probed step 1, timestep 0: \d+ µs", readout.inner_text())
    holder.focus()
    for key in ["ArrowDown"] * 3 + ["ArrowRight"] * 5:
        holder.press(key)
    assert readout.inner_text() == "probed step 4, timestep 5: not marked"


@pytest.mark.parametrize("kind", ["cpu_cell", "accelerator", "long"])
def test_every_plot_is_saved_as_it_is_shown(browser: Browser, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"{kind}.html"
    file.write_bytes(HTML.render([result_of(ALL[kind](), f"{kind}.json")]))
    opened = Opened(browser, file, color_scheme="light")
    opened.draw_all()
    figures = opened.page.locator("figure.chart").all()[:4]  # Chromium stops a flood of files
    assert figures
    for figure in figures:
        with opened.page.expect_download() as saved:
            figure.get_by_role("button", name="Save the picture as SVG").click()
        drawn = ElementTree.fromstring(saved.value.path().read_bytes())
        names = {element.text for element in drawn.iter(f"{SVG}text")}
        shown = figure.locator(".legend:not(.behind) button").all_inner_texts()
        assert {name.strip() for name in shown} <= names
        assert [e for e in drawn.iter() if e.tag in (f"{SVG}path", f"{SVG}circle", f"{SVG}rect")]
        assert "NaN" not in ElementTree.tostring(drawn, "unicode")
        with opened.page.expect_download() as saved:
            figure.get_by_role("button", name="Save the picture as PNG").click()
        assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    assert opened.faults == []


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    for kind, result in every_kind(tmp_path, HOSTILE).items():
        file = tmp_path / f"hostile_{kind}.html"
        file.write_bytes(HTML.render([result]))
        opened = Opened(browser, file)
        opened.draw_all()
        opened.page.wait_for_timeout(50)
        assert opened.faults == [], kind
        assert opened.requests == [file.as_uri()], kind
        assert opened.page.title() != "owned", kind
        assert opened.page.locator("img").count() == 0, kind
        opened.page.close()


def test_the_policy_stops_a_script_that_got_in(browser: Browser, tmp_path: Path) -> None:
    """A second line of defence, proven by breaking the first."""
    page = HTML.render([result_of(long_run(64), "x")]).decode()
    attacked = page.replace("<h1>", "<img src=x onerror=\"document.title='owned'\"><h1>", 1)
    file = tmp_path / "attacked.html"
    file.write_text(attacked.replace("</body>", "<script>document.title='owned'</script></body>"))
    opened = Opened(browser, file)
    opened.page.wait_for_timeout(100)
    assert opened.page.title() != "owned"
    assert any("Content Security Policy" in fault for fault in opened.faults)


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_scrolls_down_only(browser: Browser, written: dict[str, Path], kind: str) -> None:
    opened = Opened(browser, written[kind], viewport={"width": 360, "height": 740})
    opened.draw_all()
    assert opened.overflow() <= 0
    # Wide tables are scrolled inside their frame, which keys can reach.
    wide = "element => element.scrollWidth > element.clientWidth"
    for frame in opened.page.locator(".scroll").all():
        assert (frame.get_attribute("tabindex") == "0") == frame.evaluate(wide)


@pytest.mark.parametrize("kind", KINDS)
def test_printed_it_is_light_and_as_wide_as_the_paper(
    browser: Browser, written: dict[str, Path], kind: str
) -> None:
    a4 = {"width": 718, "height": 1000}  # less its margins, at 96 dots per inch
    opened = Opened(browser, written[kind], viewport=a4, color_scheme="dark")
    opened.page.emulate_media(media="print")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.page.wait_for_timeout(100)
    assert opened.overflow() <= 0
    assert not opened.page.locator("#theme").is_visible()
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(int(part) for part in re.findall(r"\d+", background)[:3]) > 192
    assert opened.page.pdf().startswith(b"%PDF")
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate("'theme' in document.documentElement.dataset") is False
    assert opened.faults == []


def test_without_script_there_are_tables(browser: Browser, written: dict[str, Path]) -> None:
    opened = Opened(browser, written["run"], java_script_enabled=False)
    assert opened.page.get_by_text("Plots need JavaScript").is_visible()
    opened.page.locator("figure.chart summary").first.click()
    assert opened.page.locator("figure.chart table").first.is_visible()


def test_16384_timesteps_open_about_as_fast_as_few(browser: Browser, tmp_path: Path) -> None:
    times = {}
    for timesteps in (64, 16_384):
        file = _long(tmp_path, timesteps)
        found = []
        for _ in range(3):
            opened = Opened(browser, file)
            found.append(opened.first_plot_ms())
            opened.page.close()
        times[timesteps] = min(found)
    # 256 times as many timesteps; reading and drawing them is a small part of opening a page.
    assert times[16_384] < 32 * max(times[64], 20)
    assert times[16_384] < SANE_MS


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_argument_prints_as_two_sheets(browser: Browser, tmp_path: Path, count: int) -> None:
    facts = explanation().summary.facts
    first, second = facts.candidates
    more = [replace(second, label=f"attention{n}") for n in range(count - 1)]
    summary = explain(replace(facts, candidates=(first, *more)))
    result = Result(kind="explain", name="explain", summary=summary, recording=None)
    (tmp_path / "e.html").write_bytes(HTML.render([result]))
    opened = Opened(browser, tmp_path / "e.html")
    opened.draw_all()
    printed = opened.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 2
    opened.page.emulate_media(media="print")
    assert not any(button.is_visible() for button in opened.page.locator(".picture button").all())


def test_the_argument_on_a_phone(browser: Browser, written: dict[str, Path]) -> None:
    """No claim is scrolled aside; pictures are, in their frames, which keys can do too."""
    opened = Opened(browser, written["explain"], viewport={"width": 390, "height": 844})
    wide = "element => element.scrollWidth > element.clientWidth"
    assert opened.overflow() <= 0
    assert not opened.page.locator(".scroll:has(table)").first.evaluate(wide)
    pictures = opened.page.locator("figure.picture > .scroll").all()
    assert pictures
    for picture in pictures:
        assert picture.evaluate(wide)
        picture.focus()
        opened.page.keyboard.press("ArrowRight")
        opened.page.wait_for_timeout(300)
        assert picture.evaluate("element => element.scrollLeft") > 0
        assert len(picture.locator("svg[role=img]").get_attribute("aria-label") or "") > 40
