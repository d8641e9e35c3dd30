"""seqprof: what every timestep of a sequence model's training costs, and how idle the device is.

In code, around any training loop::

    with seqprof.profile("run.json") as p:
        for batch in loader:
            ...
    print(p.report())

or ``seqprof.watch("run.json")`` once, anywhere before the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqprof.attach.profile import Profile as profile  # noqa: N813
    from seqprof.attach.profile import watch

__version__ = "0.2.0"
__all__ = ["__version__", "profile", "watch"]


def __getattr__(name: str) -> Any:
    """Import what measures when it is asked for: it needs torch, and most commands do not."""
    if name in ("profile", "watch"):
        from seqprof.attach import profile as module

        return module.Profile if name == "profile" else module.watch
    raise AttributeError(f"module 'seqprof' has no attribute '{name}'")
