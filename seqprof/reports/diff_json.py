"""The document of `seqprof diff --json`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis.differences import Differences
from seqprof.analysis.differences_told import told
from seqprof.analysis.gate import Gate

#: Raised whenever the document changes shape.
DIFF_VERSION = 1


class DiffDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What changed between two recordings."""

    diff_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    differences: Differences
    gate: Annotated[Gate | None, Meta(description="null without --fail-if-slower")]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]


def dumps(differences: Differences, gate: Gate | None) -> bytes:
    """Return the document as strict JSON, ended by a newline."""
    document = DiffDocument(
        diff_version=DIFF_VERSION, differences=differences, gate=gate, sentences=told(differences)
    )
    return store.dumps(document) + b"\n"
