"""SVG → PNG by resvg, which draws it without a browser; an optional package."""

from __future__ import annotations

from importlib.util import find_spec

#: Pixels for each unit of the SVG: sharp on a screen of high density.
_ZOOM = 2.0
#: What to do where the package is missing.
HINT = "for PNG as well: pip install 'seqprof[png]'"


def is_available() -> bool:
    """Whether the package that draws is installed."""
    return find_spec("resvg_py") is not None


def png(svg: str) -> bytes:
    """Return an SVG document as a picture of twice its size in pixels.

    Raises:
        ImportError: ``resvg_py`` is not installed.
        ValueError: it is no SVG.
    """
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=svg, zoom=_ZOOM, sans_serif_family="DejaVu Sans"))
