"""The HTML report, without a browser: whole, small, escaped, and honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from example_recordings import ALL
from html_results import HOSTILE, every_kind, hostile_run, long_run, marked_in_part, profiled, run
from hypothesis import given
from hypothesis import strategies as st

import seqprof
from seqprof.reports import formats
from seqprof.reports.formats import Result, result_of
from seqprof.reports.kinds import KINDS
from seqprof.reports.renderers import HTML
from seqprof.reports.renderers.html.packed import embed, pack

LARGEST_EMPTY = 400_000
LARGEST = 6_000_000


class Page(HTMLParser):
    """A page as a browser reads it: elements, addresses, the text of scripts and of the body."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.words).append(data)

    @property
    def data(self) -> list[dict[str, Any]]:
        """The data of the plots, read as strict JSON."""
        found: list[dict[str, Any]] = json.loads(self.scripts[0], parse_constant=_refuse)
        return found

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def page_of(*results: Result) -> Page:
    return Page(HTML.render(list(results)))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_page_of_each_kind_is_whole_and_loads_nothing(kind: str, tmp_path: Path) -> None:
    page = page_of(every_kind(tmp_path)[kind])
    assert all(address.startswith("#") for address in page.addresses)
    assert page.handlers == []
    assert not {"img", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not re.search(r"url\(|@import", page.styles[0])
    # Only this style and this script may run; nothing may be fetched from anywhere.
    assert page.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in page.policy
    assert _hash(page.scripts[1]) in page.policy
    assert _hash(page.styles[0]) in page.policy
    assert len(page.scripts) == 2
    assert "MIT License" in page.text


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_answer_stands_first(kind: str, tmp_path: Path) -> None:
    page = HTML.render([every_kind(tmp_path)[kind]]).decode()
    first = page.index("<section")
    assert '<div class="prose ' in page[first : first + 100]
    assert page.index('<div class="prose answer">') < page.index("<table")


@pytest.mark.parametrize("name", ALL)
def test_every_example_renders_with_a_table_for_each_plot(name: str) -> None:
    page = page_of(run(name))
    assert page.tags.count("figure") >= len(page.data)
    text = HTML.render([run(name)]).decode()
    for figure in re.findall(r'<figure class="chart".*?</figure>', text, re.S):
        assert "<table>" in figure
        assert re.search(r'data-label="[^"]+"', figure)


def test_a_wheel_holds_every_file_that_a_page_is_made_of() -> None:
    package = Path(seqprof.__file__).parent
    setup = (package.parent / "setup.py").read_text(encoding="utf-8")
    patterns = re.findall(r'"(reports/[^"]+)"', setup)
    for folder in ("static", "templates"):
        files = [
            f
            for f in (package / "reports" / "renderers" / "html" / folder).iterdir()
            if f.is_file()
        ]
        assert files
        for file in files:
            name = file.relative_to(package)
            assert any(name.match(pattern.replace("**", "*/*")) for pattern in patterns), name


def test_what_is_not_data_is_small() -> None:
    page = HTML.render([run("nothing_measured")])
    assert len(page) < LARGEST_EMPTY


def test_16384_timesteps_stay_small_and_whole() -> None:
    result = result_of(long_run(16_384), "long.json")
    document = HTML.render([result])
    assert len(document) < LARGEST
    chart = Page(document).data[0]
    assert chart["x"] == {"from": 0, "step": 1, "count": 16_384}
    forward = chart["curves"][0]
    slow = max(range(16_384), key=lambda t: forward["y"]["v"][t])
    assert slow == 16_384 // 3
    assert forward["y"]["v"][slow] * forward["y"]["u"] == pytest.approx(9e-4, rel=1e-3)


def test_many_loops_share_points_and_say_so() -> None:
    loops = [f"body.layers.{n}.cell" for n in range(12)]
    document = HTML.render([result_of(long_run(16_384, loops), "long.json")])
    assert len(document) < LARGEST
    page = Page(document)
    chart = page.data[0]
    span = chart["x"]["step"]
    assert span > 1
    assert f"Each point stands for {span} neighbouring timesteps" in page.text
    # The slow timestep is still there: its point has the highest 95 % quantile.
    high = chart["curves"][0]["high"]["v"]
    assert high.index(max(high)) == 16_384 // 3 // span


def test_few_marked_timesteps_make_a_line_and_are_counted() -> None:
    """Five probed steps that mark every 76th timestep would leave specks."""
    made = marked_in_part(long_run(16_384), lambda t: t % 76 < 5)
    page = page_of(result_of(made, "sparse.json"))
    chart = page.data[0]
    assert chart["x"]["step"] == 72
    assert None not in chart["curves"][0]["y"]["v"]
    assert "1,080 of 16,384 timesteps were marked in these probed steps" in page.text
    whole = page_of(result_of(long_run(64), "whole.json"))
    assert "were marked in these probed steps" not in whole.text


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    for kind, result in every_kind(tmp_path, HOSTILE).items():
        page = page_of(result)
        # An element more than an innocent page has would be the attack's.
        assert page.tags.count("script") == 2, kind
        assert "img" not in page.tags, kind
        assert page.handlers == [], kind
        assert "onerror=document.title" in page.text, kind  # it is shown, as what it is
        assert "<" not in page.scripts[0], kind


def test_a_null_is_a_dash_with_its_reason_in_words() -> None:
    page = HTML.render([run("nvml_failed")]).decode()
    dashes = re.findall(r'<td class="none" title="([^"]+)">—<sup>(\d+)</sup></td>', page)
    assert dashes
    for reason, mark in dashes:
        assert f'<p class="note"><sup>{mark}</sup> {reason}</p>' in page
    # No cell holds a dash, or nothing at all, in place of a number without saying why.
    assert not re.search(r"<td[^>]*>\s*(—|None|nan|null)\s*</td>", page)


@pytest.mark.parametrize("name", ALL)
def test_no_dash_of_an_example_is_without_a_reason(name: str) -> None:
    assert not re.search(
        r"<td[^>]*>\s*(—|None|nan|null)\s*</td>", HTML.render([run(name)]).decode()
    )


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_dash_is_without_a_reason(kind: str, tmp_path: Path) -> None:
    page = HTML.render([every_kind(tmp_path)[kind]]).decode()
    assert not re.search(r"<td[^>]*>\s*(—|None|nan|null)\s*</td>", page)


def test_a_recording_without_maps_says_why_there_is_no_heat_map() -> None:
    page = page_of(run("cpu_cell"))
    assert not any(chart["kind"] == "map" for chart in page.data)
    assert "as quantiles over the steps, not those of single steps" in page.text
    drawn = page_of(result_of(long_run(64), "new.json"))
    assert [chart["kind"] for chart in drawn.data].count("map") == 2


def test_the_map_keeps_what_was_not_marked_empty() -> None:
    chart = next(c for c in page_of(result_of(long_run(64), "x")).data if c["kind"] == "map")
    values = chart["values"]["v"]
    assert len(values) == len(chart["rows"]) * len(chart["starts"])
    assert values[3 * len(chart["starts"]) + 5] is None
    assert sum(value is None for value in values) == 1


def test_timesteps_that_were_not_timed_have_no_plot() -> None:
    page = page_of(run("cpu_fused"))
    assert "one call handles the whole sequence" in page.text
    assert not any(chart.get("xname") == "timestep" for chart in page.data)


def test_samples_have_the_phases_behind_them() -> None:
    charts = page_of(run("accelerator")).data
    chart = next(c for c in charts if c.get("xname") == "seconds since the run began")
    assert [curve["name"] for curve in chart["curves"]] == ["nvml_utilization", "sm_active"]
    assert [span["name"] for span in chart["spans"]] == [
        "measured steps",
        "forward",
        "backward",
        "step alone",
    ]
    assert list(chart["steps"]["phases"]) == ["data", "forward", "loss", "backward", "optimizer"]


def test_idle_by_cause_adds_up_in_the_bar() -> None:
    page = HTML.render([result_of(profiled(), "run.json")]).decode()
    bar = page[page.index('aria-label="forward: busy') :]
    widths = [float(width) for width in re.findall(r'width="([\d.]+)%" height="28"', bar)][:3]
    assert sum(widths) == pytest.approx(100.0, abs=0.01)
    assert widths[1] / widths[2] == pytest.approx(4.0, rel=0.01)


def test_the_crossover_is_marked_where_it_was_found(tmp_path: Path) -> None:
    result = every_kind(tmp_path)["scale"]
    chart = page_of(result).data[0]
    assert chart["xlog"]
    assert chart["log"]
    (mark,) = chart["marks"]
    assert mark["low"] <= mark["at"] <= mark["high"]
    assert mark["at"] == pytest.approx(200.0, rel=0.1)
    assert [curve["name"] for curve in chart["curves"]] == [
        "lstm, batch 16", "lstm, batch 16: line", "lstm, batch 16: power law",
        "attention, batch 16", "attention, batch 16: line", "attention, batch 16: power law",
    ]  # fmt: skip


def test_a_failed_candidate_is_told_and_has_no_number(tmp_path: Path) -> None:
    page = page_of(every_kind(tmp_path)["compare"])
    assert "large: out of memory at T = 64" in page.text


def test_several_results_make_one_page(tmp_path: Path) -> None:
    results = list(every_kind(tmp_path).values())
    page = page_of(*results)
    assert page.tags.count("article") == len(results)
    assert page.tags.count("h1") == len(results)
    assert page.tags.count("figure") >= len(page.data)


def test_the_format_is_found_by_name_and_by_ending() -> None:
    assert formats.load("html") is HTML
    assert formats.for_path("report.html") is HTML
    assert HTML.several


def test_rendering_is_the_same_each_time() -> None:
    assert HTML.render([hostile_run()]) == HTML.render([hostile_run()])


@given(st.lists(st.one_of(st.none(), st.floats(1e-9, 1e4), st.just(0.0)), min_size=1, max_size=60))
def test_packed_values_are_kept_to_what_a_screen_shows(values: list[float | None]) -> None:
    packed = pack(values)
    largest = max((value for value in values if value), default=0.0)
    for value, number in zip(values, packed["v"], strict=True):
        if value is None:
            assert number is None
        else:
            # Four digits, unless the range is so wide that nine of the largest are the limit.
            assert number * packed["u"] == pytest.approx(value, rel=5.1e-4, abs=largest * 1e-8)


@given(st.recursive(st.text() | st.none() | st.integers(), lambda x: st.lists(x), max_leaves=20))
def test_embedded_json_says_the_same_and_holds_no_markup(value: Any) -> None:
    text = embed(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
