"""The report on the console: what `seqprof run` prints, and `seqprof show` prints again."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.summary import Summary
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, paragraph, print_to
from seqprof.reports.profile_console import render_profile
from seqprof.reports.run_header_console import render_header, with_interval
from seqprof.reports.run_phases_console import render_dwells, render_idle, render_phases
from seqprof.reports.run_timesteps_console import NAMES, render_marginal, render_timesteps
from seqprof.reports.run_words import model_in_words

_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def print_report(summary: Summary, file: TextIO | None = None, *, quiet: bool = False) -> None:
    """Print the report to ``file`` (default: stdout), in the width and colours that it takes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: Summary, console: Console, *, quiet: bool = False) -> None:
    """Print the report, or with ``quiet`` only its essential lines."""
    if quiet:
        _essentials(summary, console)
        return
    render_header(summary, console)
    render_phases(summary, console)
    render_timesteps(summary, console)
    render_marginal(summary, console)
    render_idle(summary, console)
    render_dwells(summary, console)
    if summary.profile is not None:
        render_profile(summary.profile, console, NAMES)
    _caveats(summary, console)
    _verdict(summary, console)


def _essentials(summary: Summary, console: Console) -> None:
    shares = ", ".join(
        f"{phase.phase} {q.percent(phase.share)}"
        for phase in summary.phases
        if phase.phase in ("forward", "backward")
    )
    workload = summary.header.workload
    paragraph(
        console,
        f"{model_in_words(summary.header)}, T = {workload.timesteps}, batch {workload.batch_size}: "
        f"step {with_interval(summary.step)}; {shares or 'no phase measured'}",
    )
    for sentence in summary.verdict.sentences:
        paragraph(console, sentence)
    for caveat in summary.caveats:
        if caveat.severity != "note":
            paragraph(console, f"{caveat.severity}: {caveat.text} ({caveat.evidence})")


def _caveats(summary: Summary, console: Console) -> None:
    if not summary.caveats:
        return
    heading(console, "Caveats")
    for caveat in summary.caveats:
        console.print(
            Text.assemble(
                (f"{caveat.severity}: ", _SEVERITY_STYLES[caveat.severity]),
                caveat.text,
                overflow="fold",
            )
        )
        paragraph(console, caveat.evidence, indent=2, style="dim")
        paragraph(console, f"→ {caveat.remedy}", indent=2)


def _verdict(summary: Summary, console: Console) -> None:
    heading(console, "What limits this run")
    for sentence in summary.verdict.sentences:
        paragraph(console, sentence)
    heading(console, f"Next: {summary.verdict.because}")
    # Not wrapped: it is there to be copied.
    console.print(Text(f"  {summary.verdict.next_command}"), soft_wrap=True)
