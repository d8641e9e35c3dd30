"""One document per kind of result."""

from __future__ import annotations

from seqprof.reports.document import Document, View
from seqprof.reports.formats import Result
from seqprof.reports.kinds import KINDS, call


def document_of(result: Result, view: View | None = None) -> Document:
    """Return the document of one result."""
    made: Document = call(KINDS[result.kind].document, result, view or View())
    return made
