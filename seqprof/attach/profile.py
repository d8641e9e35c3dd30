"""Measuring a loop from inside the program that has it: ``seqprof.profile``.

The same agent as that of ``seqprof exec``, put in at the beginning of a ``with`` block and taken
out at its end.
"""

from __future__ import annotations

import atexit
import html
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from seqprof.attach.agent import Agent
from seqprof.attach.made import living_optimizers
from seqprof.attach.options import AttachOptions

if TYPE_CHECKING:
    from seqprof.recording import Recording
    from seqprof.reports.formats import Result


#: Of the report in a notebook, in pixels.
_FRAME_HEIGHT = 720


class Profile:
    """Watches the training loop that runs inside its ``with`` block.

    Args:
        path: where the recording is written at the end; its ending says in which format. None: it
            is only kept in memory.
        steps: measured steps; after them all hooks are gone and the loop runs as before.
        warmup: steps before them, at least 3.
        budget: share of a step that timestep marks may cost.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        steps: int = 100,
        warmup: int = 4,
        budget: float = 0.01,
    ) -> None:
        self._path = None if path is None else Path(path)
        self._folder = tempfile.TemporaryDirectory(prefix="seqprof-")
        self._options = AttachOptions(
            folder=self._folder.name, steps=steps, warmup=warmup, budget=budget
        )
        self._agent: Agent | None = None
        self._recording: Recording | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("complete" if kind is None else f"the block raised {kind.__name__}")

    def start(self) -> None:
        """Put the hooks in."""
        self._agent = Agent(self._options)
        for optimizer in living_optimizers():
            self._agent.session.made.add(optimizer)
        self._agent.attach()

    def step(self) -> None:
        """Say that a step of the loop has ended here.

        Only needed where neither a fetch from a DataLoader nor an optimizer's step tells it.
        """
        if self._agent is not None and self._agent.session.on:
            self._agent.session.step()

    def stop(self, ended: str = "stopped") -> None:
        """Take the hooks out and write what was measured."""
        from seqprof.attach.outside.gather import Circumstances, gather

        agent, self._agent = self._agent, None
        if agent is None:
            return
        agent.session.close(ended)
        options: dict[str, Any] = {"steps": self._options.steps, "warmup": self._options.warmup}
        recordings = gather(
            Path(self._folder.name),
            Circumstances(
                command="seqprof.profile(…)", options=options, exit_code=None, ended=ended
            ),
        )
        self._recording = recordings[0] if recordings else None
        self._folder.cleanup()
        if self._path is not None and self._recording is not None:
            self._write(self._path)

    @property
    def recording(self) -> Recording:
        """What was measured.

        Raises:
            SeqprofError: the block has not ended, or no training step was seen in it.
        """
        from seqprof.errors import SeqprofError

        if self._recording is None:
            raise SeqprofError(
                "nothing was measured: no training step was seen",
                "the loop has to run inside the `with seqprof.profile(…)` block",
            )
        return self._recording

    def report(self) -> Report:
        """The report: a table where it is printed, HTML where a notebook shows it."""
        return Report(self._result())

    def _result(self) -> Result:
        from seqprof.reports.formats import result_of

        return result_of(self.recording, str(self._path or "profile"))

    def _write(self, path: Path) -> None:
        from seqprof import store
        from seqprof.reports import formats

        store.write(formats.render(formats.for_path(str(path)), [self._result()]), str(path))


class Report:
    """A report that a terminal prints and a notebook renders."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __str__(self) -> str:
        return self._rendered("table")

    def _repr_html_(self) -> str:
        """A page of its own in a frame: its styles must not reach the notebook's."""
        page = html.escape(self._rendered("html"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="{_FRAME_HEIGHT}"></iframe>'

    def _rendered(self, name: str) -> str:
        from seqprof.reports import formats

        return formats.render(formats.load(name), [self._result]).decode()

    __repr__ = __str__


def watch(
    model: nn.Module | None = None,
    path: str | Path = "run.json",
    *,
    steps: int = 100,
    warmup: int = 4,
    budget: float = 0.01,
) -> Profile:
    """Watch the training loop that comes next; the recording is written when the program ends.

    Args:
        model: named for the reader's sake; the loop is watched whatever it calls.
        path, steps, warmup, budget: as of :class:`Profile`.

    Returns:
        what :meth:`Profile.stop` can be called on to have the recording sooner.
    """
    del model  # every module that the loop calls is seen
    profile = Profile(path, steps=steps, warmup=warmup, budget=budget)
    profile.start()
    atexit.register(profile.stop)
    return profile
