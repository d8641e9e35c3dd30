"""`--log`: hands what was measured to experiment trackers, after everything else is safe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqprof.errors import EXIT_NOT_LOGGED

if TYPE_CHECKING:
    from seqprof.integrations.trackers.destinations import Destination
    from seqprof.reports.formats import Result


def log_result(result: Result, destinations: Sequence[Destination], quiet: bool) -> int:
    """Log to each destination; a failure is a warning on stderr.

    Returns:
        The exit code: 0, or ``EXIT_NOT_LOGGED`` if a tracker failed: a script that goes on to look
        for the run there must notice, and must not take it for a failed measurement.
    """
    if not destinations:
        return 0
    from seqprof.integrations.trackers.destinations import send
    from seqprof.integrations.trackers.entries import entries

    logged, code = entries(result), 0
    for destination in destinations:
        try:
            place = send(logged, destination)
        except Exception as error:  # whatever a tracker's package and its server come up with
            reason = str(error).strip().splitlines() or [type(error).__name__]
            print(
                f"seqprof: warning: not logged to {destination.name}: {reason[0]}\n"
                "hint: the measurement is complete, and the results above and the files of -o hold",
                file=sys.stderr,
            )
            code = EXIT_NOT_LOGGED
        else:
            if not quiet:
                print(f"logged to {destination.name}: {place}", file=sys.stderr)
    return code
