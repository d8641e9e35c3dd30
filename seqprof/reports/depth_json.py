"""Sequential depth ⇄ JSON."""

from __future__ import annotations

import msgspec

from seqprof import store
from seqprof.analysis.model_depth import Assumptions, DepthSummary, ModelDepth
from seqprof.analysis.rows_depth import rows

#: Raised by one whenever the document changes shape.
SCHEMA_VERSION = 1


class _Stored(msgspec.Struct):
    assumptions: Assumptions
    models: tuple[ModelDepth, ...]


def to_json(summary: DepthSummary) -> str:
    """One strict JSON document: ``{"schema_version", "assumptions", "models", "rows"}``."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "assumptions": summary.assumptions,
        "models": summary.models,
        "rows": rows(summary),
    }
    return msgspec.json.format(store.dumps(document), indent=2).decode()


def from_json(data: bytes) -> DepthSummary:
    """Read back what :func:`to_json` wrote.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    stored = msgspec.json.decode(data, type=_Stored)
    return DepthSummary(models=stored.models, assumptions=stored.assumptions)
