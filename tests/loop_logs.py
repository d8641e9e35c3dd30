"""Golden event logs: one letter-coded line an event, so that a test shows what happened."""

from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import LoopEvent

_KINDS = {
    "fetch": Kind.FETCH_IN,
    "forward": Kind.FORWARD_IN,
    "quiet": Kind.FORWARD_IN,
    "backward": Kind.BACKWARD_IN,
    "optimizer": Kind.OPTIMIZER_IN,
    "scaler": Kind.SCALER_IN,
    "update": Kind.SCALER_IN,
    "zero": Kind.ZERO_GRAD_IN,
    "criterion": Kind.CRITERION_IN,
    "autocast": Kind.AUTOCAST_IN,
    "scale": Kind.SCALE_IN,
    "join": Kind.JOIN_IN,
}


def log(text: str) -> list[LoopEvent]:
    """Read a log. ``[name key`` begins a span, ``]`` ends the last one open, ``+n`` lets n µs pass.

    ``quiet`` is a forward without gradients, ``update`` a scaler's; ``]exhausted`` ends a fetch
    without a batch and ``]failed`` a span by an exception.
    """
    now = 1_000_000
    events: list[LoopEvent] = []
    stack: list[tuple[Kind, int]] = []
    for word in text.replace("\n", " ").split():
        if word.startswith("+"):
            now += int(word[1:]) * 1_000
        elif word.startswith("["):
            name, _, number = word[1:].partition(":")
            key = int(number or 1)
            stack.append((_KINDS[name], key))
            events.append(LoopEvent(now, now, _KINDS[name], _given(name), 0, key))
        else:
            kind, key = stack.pop()
            left = {"]exhausted": Flag.EXHAUSTED, "]failed": Flag.FAILED}.get(word, Flag(0))
            events.append(LoopEvent(now, now, kind + 1, int(left), 0, key))
    return events


def _given(name: str) -> int:
    flags = {"forward": Flag.GRAD | Flag.TRAINING, "quiet": Flag.TRAINING, "update": Flag.UPDATE}
    return int(flags.get(name, 0))
