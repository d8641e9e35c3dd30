"""A Hugging Face callback: ``Trainer(callbacks=[SeqprofCallback("run.json")])``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from seqprof.attach.profile import Profile


class SeqprofCallback(TrainerCallback):
    """Measures the training loop of a ``Trainer``.

    Args:
        path: where the recording is written when training has ended.
        options: ``steps``, ``warmup`` and ``budget``, as of :class:`seqprof.profile`.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.profile = Profile(path, **options)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.profile.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.profile.stop("complete")
