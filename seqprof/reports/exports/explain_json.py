"""What `seqprof explain` found ⇄ JSON. Facts and recordings are read back, verdicts never."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis.derived import derived
from seqprof.analysis.explain.claim import Claim
from seqprof.analysis.explain.facts import ExplainFacts
from seqprof.analysis.explain.summary import explain
from seqprof.analysis.rows import Row
from seqprof.recording import SCHEMA_VERSION as RECORDING_VERSION
from seqprof.recording import Recording
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A recording with its own version, as a file of its own would have it."""

    schema_version: int
    recording: Recording


class ExplainDocument(Envelope, frozen=True, kw_only=True):
    """What `seqprof explain` found. Claims and rows are derived from the rest."""

    explained: Annotated[ExplainFacts, Meta(description="facts; the recordings stand beside them")]
    scaling: Annotated[Stored | None, Meta(description="all candidates over T and the batch")]
    run: Annotated[Stored | None, Meta(description="the first candidate with marked timesteps")]
    claims: Annotated[tuple[Claim, ...], Meta(description="derived from the rest")]
    rows: Annotated[tuple[Row, ...], Meta(description="the numbers, flat")]


DOCUMENT = ExplainDocument


class _Read(msgspec.Struct):
    explained: ExplainFacts
    scaling: msgspec.Raw = msgspec.Raw(b"null")
    run: msgspec.Raw = msgspec.Raw(b"null")


def of_result(result: Result) -> bytes:
    """Return the document, ended by a newline.

    Raises:
        SeqprofError: a number is not finite.
    """
    facts: ExplainFacts = result.summary.facts
    parts = {
        "explained": replace(facts, scaling=None, run=None),
        "scaling": _stored(facts.scaling),
        "run": _stored(facts.run),
        "claims": result.summary.claims,
        "rows": result.rows(),
    }
    about = ", ".join(candidate.label for candidate in facts.candidates)
    dated = replace(result, created=facts.created)
    return document(dated, about, parts)


def _stored(recording: Recording | None) -> Stored | None:
    if recording is None:
        return None
    return Stored(schema_version=RECORDING_VERSION, recording=recording)


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_result` wrote; the claims are judged anew.

    Raises:
        msgspec.DecodeError: it is another document.
        SeqprofError: a recording in it cannot be read.
    """
    stored = msgspec.json.decode(data, type=_Read)
    scaling, run = (
        None if bytes(part) == b"null" else derived(store.loads(bytes(part), name))
        for part in (stored.scaling, stored.run)
    )
    explanation = explain(replace(stored.explained, scaling=scaling, run=run))
    return [Result(kind="explain", name=name, summary=explanation, recording=None)]
