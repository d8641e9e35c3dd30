"""What one check of ``seqprof doctor`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check saw. ``problem``: measuring is not possible."""

    name: str
    state: State
    finding: str
    remedy: str | None = None
