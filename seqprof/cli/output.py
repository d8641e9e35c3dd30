"""How a command hands over what it measured: tables on stdout, JSON to a file or to stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqprof.analysis.summary import summarise
from seqprof.recording import Recording
from seqprof.reports import json as json_report


def present(recording: Recording, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Write the file first: what was measured must survive a terminal that went away."""
    summary = summarise(recording)
    if output is not None:
        json_report.save(recording, summary, str(output))
    if as_json:
        if output is None or str(output) != "-":
            json_report.save(recording, summary, "-")
        return
    if str(output) == "-":
        return
    from seqprof.reports.console import print_report

    print_report(summary, quiet=quiet)
    if output is not None and not quiet:
        print(f"written: {output}", file=sys.stderr)


def present_comparison(
    recording: Recording, output: Path | None, as_json: bool, quiet: bool
) -> None:
    """Likewise for `compare` and `scale`."""
    from seqprof.reports import compare_json

    summary: Any
    report: Callable[..., None]
    if recording.kind == "compare":
        from seqprof.analysis.compared import summarise_comparison
        from seqprof.reports.compare_console import print_comparison

        summary, report = summarise_comparison(recording), print_comparison
    else:
        from seqprof.analysis.scaled import summarise_scaling
        from seqprof.reports.scale_console import print_scaling

        summary, report = summarise_scaling(recording), print_scaling
    if output is not None:
        compare_json.save(recording, summary, str(output))
    if as_json and str(output) != "-":
        compare_json.save(recording, summary, "-")
    if as_json or str(output) == "-":
        return
    report(summary, quiet=quiet)
    if output is not None and not quiet:
        print(f"written: {output}", file=sys.stderr)
