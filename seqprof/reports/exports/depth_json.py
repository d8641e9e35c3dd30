"""Sequential depth ⇄ JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.depth.model_depth import Assumptions, DepthSummary, ModelDepth
from seqprof.analysis.rows import Row
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class DepthDocument(Envelope, frozen=True, kw_only=True):
    """What `seqprof depth` found."""

    assumptions: Assumptions
    models: tuple[ModelDepth, ...]
    rows: Annotated[tuple[Row, ...], Meta(description="the models' numbers, flat")]


DOCUMENT = DepthDocument


class _Stored(msgspec.Struct):
    assumptions: Assumptions
    models: tuple[ModelDepth, ...]


def of_result(result: Result) -> bytes:
    """Return the document of models' sequential depth, ended by a newline."""
    summary: DepthSummary = result.summary
    parts = {"assumptions": summary.assumptions, "models": summary.models, "rows": result.rows()}
    made = document(
        result,
        ", ".join(dict.fromkeys(model.recorded.model for model in summary.models)),
        parts,
    )
    return msgspec.json.format(made, indent=2) + b"\n"


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_result` wrote, or an older seqprof.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    stored = msgspec.json.decode(data, type=_Stored)
    summary = DepthSummary(models=stored.models, assumptions=stored.assumptions)
    return [Result(kind="depth", name=name, summary=summary, recording=None)]
