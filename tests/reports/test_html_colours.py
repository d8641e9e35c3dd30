"""The colours of the HTML report: readable in both themes, apart for every colour vision."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqprof.reports.renderers.html

_SHEET = Path(seqprof.reports.renderers.html.__file__).parent / "static" / "report.css"
_PAIR = re.compile(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)")
#: How linear RGB appears without one kind of cone: Machado, Oliveira and Fernandes (2009),
#: "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.0.
_VISION = {
    "trichromat": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
#: Linear sRGB to CIE XYZ, and the white of both (D65).
_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
_WHITE = [0.95047, 1.0, 1.08883]
#: Pieces that lie side by side in a bar, and curves of one plot.
_PIECES = ["data", "forward", "loss", "backward", "optimizer", "step", "cause-unknown"]
_WORDS = ["text", "quiet", "link", "good", "bad", "warning"]
#: CIE76 difference: 2.3 is just noticed side by side; small swatches apart need far more.
_APART = 15.0


def _colours(theme: str) -> dict[str, str]:
    sheet = _SHEET.read_text(encoding="utf-8")
    return {name: light if theme == "light" else dark for name, light, dark in _PAIR.findall(sheet)}


def _linear(colour: str) -> Any:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _lab(linear: Any) -> Any:
    part = np.array(_XYZ) @ np.clip(linear, 0.0, 1.0) / np.array(_WHITE)
    x, y, z = np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _contrast(one: str, other: str) -> float:
    """The ratio of relative luminances of WCAG 2."""
    low, high = sorted(float(np.array(_XYZ[1]) @ _linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("vision", _VISION)
def test_pieces_of_a_bar_differ_for_every_kind_of_vision(theme: str, vision: str) -> None:
    colours = _colours(theme)
    seen = {name: _lab(np.array(_VISION[vision]) @ _linear(colours[name])) for name in _PIECES}
    close = {
        (one, other): round(float(np.linalg.norm(seen[one] - seen[other])), 1)
        for one, other in itertools.combinations(_PIECES, 2)
        if np.linalg.norm(seen[one] - seen[other]) < _APART
    }
    assert close == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_pieces_stand_out_from_the_page(theme: str) -> None:
    """At least as WCAG 2.2 asks at level AA: 4.5 for text, 3 for what is drawn."""
    colours = _colours(theme)
    for name in _WORDS:
        for ground in ("page", "card"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in _PIECES:
        assert _contrast(colours[name], colours["page"]) >= 3.0, name
