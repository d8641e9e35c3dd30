"""What came of a script's profiled steps, or why nothing did; numpy only where there is a trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seqprof.analysis.loop.recorded import LoopRecord
from seqprof.recording import Incident, ProfiledPass
from seqprof.traces.tracks import Range, track_events, write_with_tracks

_NS = 1e-9
_NOT_REACHED = "the script ended before the measured steps were complete"


@dataclass(frozen=True, slots=True)
class ProfiledLoop:
    """The pass over the profiled steps of one process, and its phases as bars for a trace."""

    measured: ProfiledPass
    bars: tuple[Range, ...] = ()

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Defects of the trace."""
        return tuple(Incident(kind="profile_quality", detail=t) for t in self.measured.quality)


def profiled_loop(record: LoopRecord, trace: Path) -> ProfiledLoop:
    """Read the trace of a process's profiled steps, or say why there is none."""
    fact = record.log.last_of("profiled") or {"reason": _NOT_REACHED}
    device = (record.log.last_of("process") or {}).get("device") or {"kind": "cpu"}
    index = None if device["kind"] == "cpu" else int(device.get("index") or 0)
    absent = ProfiledPass(on="processor" if index is None else "device")
    if fact.get("reason") is not None or not trace.exists():
        return ProfiledLoop(replace(absent, reason=fact.get("reason") or "no trace was written"))
    try:
        from seqprof.attach.outside.kernels import read_profile

        around = [(str(name), stamps) for name, stamps in fact["around"]]
        profile = read_profile(trace, around, record.profiled_steps(), index)
        if profile is None:
            return ProfiledLoop(replace(absent, reason="the trace's clock is not the host's"))
        measured, bars = profile
        return ProfiledLoop(replace(measured, stopped_s=fact["stopped_ns"] * _NS), bars)
    except Exception as error:  # it must not cost what was timed
        reason = f"{type(error).__name__}: {error}"
        return ProfiledLoop(replace(absent, reason=reason.splitlines()[0]))


def keep_trace(loop: ProfiledLoop, trace: Path, target: Path) -> tuple[Incident, ...]:
    """Write the trace to where it is to be kept, with the phases as a track."""
    if not loop.bars:
        return ()
    try:
        write_with_tracks(trace, target, track_events(loop.bars, ()))
    except (OSError, ValueError) as error:
        return (Incident(kind="trace_not_written", detail=f"{target}: {error}"),)
    return ()
