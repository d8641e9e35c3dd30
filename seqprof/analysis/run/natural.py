"""What a timestep costs, from steps whose sequences differ in length by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from seqprof.analysis.run.phases import headline_steps, phase_clock, phase_time, steps_of
from seqprof.recording import Step, Trial

METHOD = "natural variation: Theil-Sen slope over the steps as they came"
#: Fewest different lengths and steps, and the least range, that a slope is derived from.
FEWEST_LENGTHS, FEWEST_STEPS, LEAST_RANGE = 3, 6, 1.25


def varies_enough(lengths: Sequence[int]) -> bool:
    """Whether steps of so many timesteps each tell what a timestep costs."""
    return (
        len(lengths) >= FEWEST_STEPS
        and len(set(lengths)) >= FEWEST_LENGTHS
        and max(lengths) >= LEAST_RANGE * min(lengths)
    )


def points_by_phase(trial: Trial) -> dict[str, tuple[list[float], list[float]]]:
    """Return (timesteps, seconds) of ``forward``, ``backward`` and ``step``, of steps as they came.

    Of steps with other batch sizes than the most common one none is taken: what they cost differs
    for another reason. Empty where T does not vary by itself.
    """
    clock = phase_clock(trial)

    def of_phase(name: str) -> Callable[[Step], float | None]:
        return lambda step: phase_time(step.phases[name], clock) if name in step.phases else None

    bounded = _of_one_batch_size(steps_of(trial, "bounded"))
    by_phase = {
        "forward": _points(bounded, of_phase("forward")),
        "backward": _points(bounded, of_phase("backward")),
        "step": _points(_of_one_batch_size(headline_steps(trial)), lambda step: step.wall_s),
    }
    lengths = [int(length) for length in by_phase["step"][0]]
    return by_phase if varies_enough(lengths) else {}


def _of_one_batch_size(steps: Sequence[Step]) -> list[Step]:
    known = [step for step in steps if step.timesteps]
    if not known:
        return []
    [(usual, _)] = Counter(step.batch_sizes for step in known).most_common(1)
    return [step for step in known if step.batch_sizes == usual]


def _points(
    steps: Sequence[Step], seconds: Callable[[Step], float | None]
) -> tuple[list[float], list[float]]:
    both = [(float(sum(step.timesteps)), seconds(step)) for step in steps]
    known = [(length, time) for length, time in both if time is not None]
    return [length for length, _ in known], [time for _, time in known]
