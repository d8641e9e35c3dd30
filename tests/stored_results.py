"""Recordings as the JSON that `-o` writes."""

from __future__ import annotations

from pathlib import Path

from seqprof import store
from seqprof.recording import Recording
from seqprof.reports import formats


def document_of(recording: Recording) -> bytes:
    """Return the document of a recording, whatever its kind."""
    return formats.load("json").render([formats.result_of(recording, "run.json")])


def save(recording: Recording, path: Path) -> Path:
    """Write the document of a recording."""
    store.write(document_of(recording), path)
    return path
