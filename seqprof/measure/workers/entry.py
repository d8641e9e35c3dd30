"""One candidate at one length and batch size, in the making. Without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from seqprof.analysis.host_load import is_contended
from seqprof.measure.trial.draft import Draft
from seqprof.measure.workers.messages import Key
from seqprof.spec import Spec

#: A visit takes steps for about this long, but no more steps than this.
VISIT_S, MOST_STEPS = 0.05, 10


@dataclass(slots=True)
class Entry:
    """One candidate at one length and batch size, and what was measured of it so far."""

    contender: int
    label: str
    spec: Spec
    draft: Draft = field(default_factory=Draft)
    prepare_s: float = math.inf

    @property
    def key(self) -> Key:
        """Timesteps and batch size."""
        return self.spec.data.seq_len, self.spec.data.batch_size

    @property
    def ready(self) -> bool:
        """Whether steps can be taken of it."""
        return self.draft.prepared is not None and self.draft.failure is None

    @property
    def on_accelerator(self) -> bool:
        """Whether it runs on one, as far as is known."""
        made = self.draft.prepared
        return made is not None and made.environment.device.is_accelerator

    @property
    def typical_s(self) -> float:
        """What a step takes, as far as is known."""
        made = self.draft.prepared
        bare = (step.wall_s for step in self.draft.steps if step.kind == "bare")
        return math.inf if made is None else min(*made.warmup_wall_s, *bare, math.inf)

    @property
    def disturbed(self) -> bool:
        """Whether others had the processor while it was prepared."""
        return self.draft.prepared is not None and is_contended(self.draft.prepared.host)

    @property
    def steps_per_visit(self) -> int:
        """Steps of one round."""
        return max(1, min(MOST_STEPS, math.ceil(VISIT_S / self.typical_s)))

    @property
    def words_of_failure(self) -> str:
        """Why it is measured no further."""
        failure = self.draft.failure
        return f"{self.label}: {failure.detail if failure else 'not measured'}"
