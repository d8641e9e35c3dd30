"""What a recording holds besides facts, derived anew from them: a repaired analysis repairs it.

Quantiles follow from the samples of timesteps, laws of depth from the counted lengths.
Where a recording has no such facts (an older one, or too many samples for a file) what it holds
stands. A profiled pass stands as well: the trace that it is from is not kept unless asked for
(``--trace``), and `seqprof trace` reads that anew.
"""

from __future__ import annotations

from dataclasses import replace

from seqprof.analysis.depth.recorded_law import depth_law
from seqprof.analysis.run.latencies import latencies_of
from seqprof.recording import Recording, Trial


def derived(recording: Recording) -> Recording:
    """Return the recording with all that follows from stored facts derived from them."""
    return replace(recording, trials=tuple(map(_trial, recording.trials)))


def _trial(trial: Trial) -> Trial:
    depth, samples = trial.depth, trial.timestep_samples
    if depth is not None and depth.counted is not None and depth.timesteps is not None:
        trial = replace(trial, depth=depth_law(depth.counted, depth.timesteps, depth.source))
    if not samples:
        return trial
    return replace(trial, latencies=latencies_of(samples))
