"""How a command hands over what it measured: tables on stdout, JSON to a file or to stdout."""

from __future__ import annotations

import sys
from pathlib import Path

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
