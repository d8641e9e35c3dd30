"""How often a module is called along a sequence, as a rule that holds at any T."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: A rule with more calls a timestep, more timesteps a call, or more calls less is a coincidence.
_MOST_CALLS, _MOST_TIMESTEPS, _MOST_LESS = 16, 16, 2


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a forward over T timesteps calls a module: ``times * T // every + more``."""

    times: int = 1
    every: int = 1
    more: int = 0
    rounds_up: bool = False

    def calls(self, timesteps: int) -> int:
        """Calls in a forward over so many timesteps."""
        rest = self.every - 1 if self.rounds_up else 0
        return (self.times * timesteps + rest) // self.every + self.more

    @property
    def uneven(self) -> bool:
        """Whether no timestep has a whole number of calls, nor a call of timesteps.

        T calls that read and T - 1 that write are 2·T - 1, an encoder of T calls and a decoder of
        half as many 3 for 2 timesteps.
        """
        return self.times > 1 and (self.every > 1 or self.more % self.times != 0)

    @property
    def words(self) -> str:
        """``2 a timestep``, ``one less than timesteps`` …"""
        if self.every > 1:
            return f"{self.times if self.times > 1 else 'one'} for {self.every} timesteps"
        if self.uneven:
            beyond = "more" if self.more > 0 else "less"
            return f"{self.times} a timestep, {abs(self.more)} {beyond} in all"
        if self.more and self.times > 1:
            rounds = abs(self.more) // self.times
            beyond = "and for one more" if rounds == 1 else f"and for {rounds} more"
            short = "save for one" if rounds == 1 else f"save for {rounds}"
            return f"{self.times} a timestep, {beyond if self.more > 0 else short}"
        if self.more:
            count = abs(self.more)
            return f"{count} {'more' if self.more > 0 else 'less'} than timesteps"
        return f"{self.times} a timestep" if self.times > 1 else "one a timestep"


ONCE = Rule()


def possible_rules(timesteps: int, calls: int, several: bool) -> Iterator[Rule]:
    """Yield what ``calls`` can mean, the plainest first."""
    times, rest = divmod(calls, timesteps)
    if not rest and 1 <= times <= _MOST_CALLS:
        yield Rule(times=times)
    more = calls - timesteps
    if more and abs(more) <= (_MOST_LESS if several else 1):
        yield Rule(more=more)
    if several:
        for more in range(-_MOST_LESS, _MOST_LESS + 1):  # k times for each of T - 1 intervals
            times, rest = divmod(calls, timesteps + more)
            if more and not rest and 1 < times <= _MOST_CALLS:
                yield Rule(times=times, more=times * more)
        for every in range(2, _MOST_TIMESTEPS + 1):
            yield Rule(every=every)
            yield Rule(every=every, rounds_up=True)
        for more in range(-_MOST_LESS, _MOST_LESS + 1):  # passes of which one is longer
            times, rest = divmod(calls - more, timesteps)
            if not rest and 1 < times <= _MOST_CALLS:
                yield Rule(times=times, more=more)
        for every in range(2, _MOST_TIMESTEPS + 1):  # a pass over all, and one over a part
            yield Rule(times=every + 1, every=every)
            yield Rule(times=every + 1, every=every, rounds_up=True)
