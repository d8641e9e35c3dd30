"""Sequential depth ⇄ JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis.model_depth import Assumptions, DepthSummary, ModelDepth
from seqprof.analysis.rows import Row
from seqprof.analysis.rows_depth import rows

#: Raised by one whenever the document changes shape. 2: chains by storage, lengths asked for.
SCHEMA_VERSION = 2


class DepthDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `seqprof depth` found."""

    schema_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    assumptions: Assumptions
    models: tuple[ModelDepth, ...]
    rows: Annotated[tuple[Row, ...], Meta(description="the models' numbers, flat")] = ()


def to_json(summary: DepthSummary) -> str:
    """Return the document as strict JSON."""
    document = DepthDocument(
        schema_version=SCHEMA_VERSION,
        assumptions=summary.assumptions,
        models=summary.models,
        rows=rows(summary),
    )
    return msgspec.json.format(store.dumps(document), indent=2).decode()


def from_json(data: bytes) -> DepthSummary:
    """Read back what :func:`to_json` wrote, or an older seqprof.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    stored = msgspec.json.decode(data, type=DepthDocument)
    return DepthSummary(models=stored.models, assumptions=stored.assumptions)
