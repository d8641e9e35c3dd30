"""Sequential depth → JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seqprof import store
from seqprof.analysis.model_depth import Assumptions, ModelDepth

#: Raised by one whenever the document changes shape.
SCHEMA_VERSION = 1


def to_json(depths: Sequence[ModelDepth], assumptions: Assumptions) -> str:
    """One strict JSON document: ``{"schema_version": 1, "assumptions": …, "models": […]}``."""
    document = {"schema_version": SCHEMA_VERSION, "assumptions": assumptions, "models": depths}
    return msgspec.json.format(store.dumps(document), indent=2).decode()
