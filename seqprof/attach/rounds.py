"""What each iteration of a window is: rounds of four, whose order moves on from round to round."""

from __future__ import annotations

from seqprof.analysis.loop.kinds import ROUND, Flag

# Plain numbers: reading a member of an enumeration takes as long as a stamp.
PROBED, METERED, WARMUP = int(Flag.PROBED), int(Flag.METERED), int(Flag.WARMUP)
#: The kinds of the iterations of a round: nothing but stamps, timestep marks, …, CPU time.
_ROUND = (0, PROBED, 0, METERED)
#: Of rounds until their order is the first again.
_ROUNDS = tuple(
    _ROUND[(place + round_) % ROUND] for round_ in range(ROUND) for place in range(ROUND)
)


def kind_of(number: int, warmup: int) -> int:
    """Flags of an iteration; those before ``warmup`` are not measured."""
    return _ROUNDS[(number - warmup) % len(_ROUNDS)] if number >= warmup else WARMUP
