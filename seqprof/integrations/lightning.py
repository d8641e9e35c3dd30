"""A Lightning callback: ``Trainer(callbacks=[SeqprofCallback("run.json")])``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from seqprof.attach.profile import Profile


class SeqprofCallback(Callback):
    """Measures the training loop of a ``Trainer``; sanity checking comes before it and is not seen.

    Args:
        path: where the recording is written when training has ended.
        options: ``steps``, ``warmup`` and ``budget``, as of :class:`seqprof.profile`.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        super().__init__()
        self.profile = Profile(path, **options)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.profile.start()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.profile.stop("complete")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.profile.stop(f"training raised {type(exception).__name__}")
