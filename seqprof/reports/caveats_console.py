"""Caveats on the console, for the reports of several candidates."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from seqprof.analysis.caveats import Caveat
from seqprof.reports.layout import heading, paragraph

_SEVERITIES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def print_caveats(caveats: Sequence[Caveat], console: Console) -> None:
    """Print every caveat with its evidence and its remedy; nothing where there is none."""
    if not caveats:
        return
    heading(console, "Beware")
    for caveat in caveats:
        paragraph(console, f"{caveat.severity}: {caveat.text}", style=_SEVERITIES[caveat.severity])
        paragraph(console, caveat.evidence, indent=2)
        paragraph(console, f"→ {caveat.remedy}", indent=2)


def print_essentials(sentences: Sequence[str], caveats: Sequence[Caveat], console: Console) -> None:
    """Print what it comes to, and what a reader must not miss, a line each."""
    for sentence in sentences:
        paragraph(console, sentence)
    for caveat in caveats:
        if caveat.severity != "note":
            paragraph(console, f"{caveat.severity}: {caveat.text} ({caveat.evidence})")
