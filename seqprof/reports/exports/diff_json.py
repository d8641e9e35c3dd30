"""Differences of recordings ⇄ JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.diff.differences import Differences
from seqprof.analysis.diff.differences_in_words import in_words
from seqprof.analysis.diff.gate import Gate
from seqprof.analysis.diff.outcome import DiffOutcome
from seqprof.analysis.rows import Row
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class DiffDocument(Envelope, frozen=True, kw_only=True):
    """What changed between two recordings."""

    differences: Differences
    gate: Annotated[Gate | None, Meta(description="null without --fail-if-slower")]
    keys: Annotated[
        tuple[str, ...] | None, Meta(description="metrics that --metric chose; null for all")
    ]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]
    rows: Annotated[tuple[Row, ...], Meta(description="the differences, flat")]


DOCUMENT = DiffDocument


class _Stored(msgspec.Struct):
    differences: Differences
    gate: Gate | None = None
    keys: tuple[str, ...] | None = None


def of_result(result: Result) -> bytes:
    """Return the document of differences, ended by a newline."""
    outcome: DiffOutcome = result.summary
    differences = outcome.differences
    parts = {
        "differences": differences,
        "gate": outcome.gate,
        "keys": outcome.keys,
        "sentences": in_words(differences),
        "rows": result.rows(),
    }
    return document(
        result,
        f"{differences.new.name} against {differences.base.name}",
        parts,
    )


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_result` wrote, or an older seqprof.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    stored = msgspec.json.decode(data, type=_Stored)
    outcome = DiffOutcome(differences=stored.differences, gate=stored.gate, keys=stored.keys)
    return [Result(kind="diff", name=name, summary=outcome, recording=None)]
