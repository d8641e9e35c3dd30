"""What the agents left in a folder → recordings, one a rank."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seqprof import __version__
from seqprof.analysis.loop.kinds import WORDS
from seqprof.analysis.loop.process import Fact, ProcessLog, read_process
from seqprof.analysis.loop.recorded import LoopRecord
from seqprof.attach.outside.profiled_steps import keep_trace, profiled_loop
from seqprof.measure.machine import cpu_name, git_commit
from seqprof.recording import (
    Device,
    DeviceSamples,
    Environment,
    HostLoad,
    Incident,
    Rank,
    Recording,
    SampleSeries,
    Trial,
)

#: Bytes of a log that are read at once.
_PART = 1 << 18
#: The host's monotonic clock counts nanoseconds.
_TIMER_RESOLUTION_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the process that started the script knows.

    Attributes:
        command: as the user gave it.
        options: of the measurement, for the recording.
        exit_code: the script's.
        ended: how it ended, in words.
        host: load of the host while it ran.
        sampled: what the sampler of rank 0's device brought home.
        sampled_from_ns: second 0 of its readings, on the host's monotonic clock.
        trace: where the trace of the profiled steps is kept, of rank 0; that of another rank beside
            it. None: nowhere.
    """

    command: str
    options: dict[str, Any]
    exit_code: int | None
    ended: str
    host: HostLoad | None = None
    sampled: tuple[DeviceSamples, tuple[Incident, ...]] | None = None
    sampled_from_ns: int = 0
    trace: Path | None = None


def gather(folder: Path, circumstances: Circumstances) -> list[Recording]:
    """Read every process that trained; rank 0 first, of one rank that of most steps.

    Each window is a recording of its own, in their order. None trained: an empty list.
    """
    by_process: dict[str, list[Recording]] = {}
    for log in _logs(folder):
        record = LoopRecord(log)
        if record.trained and (record.measured or _window_of(log.name) == 1):
            recording = _recording(record, circumstances, folder / f"{log.name}.trace.json")
            by_process.setdefault(log.name.partition(".w")[0], []).append(recording)
    processes = sorted(by_process.values(), key=lambda own: (own[0].rank.rank, -_steps_of(own)))
    return [recording for own in processes for recording in own]


def _window_of(name: str) -> int:
    """Of the files of a process: ``rank0.1234``, then ``rank0.1234.w0002``."""
    return int(name.partition(".w")[2] or 1)


def _steps_of(windows: list[Recording]) -> int:
    return sum(len(recording.trials[0].steps) for recording in windows)


def failures(folder: Path) -> list[str]:
    """What went wrong in the agents, in words."""
    return [str(fact["error"]) for log in _logs(folder) for fact in log.all_of("failed")]


def watched(folder: Path) -> bool:
    """Whether any process imported torch with the agent."""
    return any(folder.glob("*.events"))


def _logs(folder: Path) -> list[ProcessLog]:
    return [
        read_process(
            path.stem,
            _used(path),
            _text(path.with_suffix(".facts")),
            _bytes(path.with_suffix(".marks")),
            _bytes(path.with_suffix(".device")),
            _bytes(path.with_suffix(".device_marks")),
        )
        for path in sorted(folder.glob("*.events"))
    ]


def _used(path: Path) -> bytes:
    """A log without the room that no event took; the last record may end with zeros of its own."""
    parts = []
    with path.open("rb") as file:
        while (part := file.read(_PART)) and part.strip(b"\0"):
            parts.append(part)
    return b"".join(parts).rstrip(b"\0") + b"\0" * (WORDS * 8)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _recording(record: LoopRecord, circumstances: Circumstances, trace: Path) -> Recording:
    process = record.log.last_of("process") or {}
    trial = _with_samples(
        record.trial(circumstances.exit_code, circumstances.ended),
        circumstances if process.get("rank", 0) == 0 else None,
        record.ended_s,
    )
    trial = _with_profile(trial, record, circumstances, trace)
    return Recording(
        kind="run",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=circumstances.command,
        spec={"attach": circumstances.options},
        seed=0,
        environment=_environment(process),
        trials=(replace(trial, host=circumstances.host),),
        timer_resolution_s=_TIMER_RESOLUTION_S,
        rank=Rank(
            rank=process.get("rank", 0),
            world_size=process.get("world_size", 1),
            host=process.get("host"),
        ),
    )


def _with_profile(
    trial: Trial, record: LoopRecord, circumstances: Circumstances, trace: Path
) -> Trial:
    """Add what the trace of the profiled steps says, and keep it where that is wanted."""
    profiled = profiled_loop(record, trace)
    incidents = (*trial.incidents, *profiled.incidents)
    rank = (record.log.last_of("process") or {}).get("rank", 0)
    if circumstances.trace is not None:
        window = trial.loop.window if trial.loop is not None else 1
        target = of_rank(circumstances.trace, rank, window)
        incidents += keep_trace(profiled, trace, target)
    return replace(trial, profile=profiled.measured, incidents=incidents)


def of_rank(path: Path, rank: int, window: int = 1) -> Path:
    """The file of another rank or window beside the first: ``trace.rank1.window2.json.gz``."""
    stem, dot, endings = path.name.partition(".")
    other = f".rank{rank}" if rank else ""
    later = f".window{window}" if window > 1 else ""
    return path.with_name(f"{stem}{other}{later}{dot}{endings}")


def _with_samples(trial: Trial, circumstances: Circumstances | None, ended_s: float) -> Trial:
    """Add the sampler's readings of this window; it ran beside rank 0 alone.

    Args:
        ended_s: when the window's last event was.
    """
    if circumstances is None or circumstances.sampled is None:
        return trial
    samples, incidents = circumstances.sampled
    later_s = (trial.clock_origin_ns - circumstances.sampled_from_ns) * 1e-9
    series = tuple(_moved(one, later_s, ended_s) for one in samples.series)
    samples = replace(samples, series=series)
    return replace(trial, samples=samples, incidents=(*trial.incidents, *incidents))


def _moved(series: SampleSeries, later_s: float, ended_s: float) -> SampleSeries:
    """The readings up to the window's end, on its own clock."""
    readings = zip(series.at_s, series.value, strict=True)
    inside = [(at - later_s, value) for at, value in readings if 0.0 <= at - later_s <= ended_s]
    at_s, values = zip(*inside, strict=True) if inside else ((), ())
    return replace(series, at_s=tuple(at_s), value=tuple(values))


def _environment(process: Fact) -> Environment:
    device = process.get("device") or {"kind": "cpu"}
    named = {key: device.get(key) for key in ("index", "uuid", "total_memory_bytes")}
    return Environment(
        seqprof=__version__,
        python=process.get("python", ""),
        torch=process.get("torch", ""),
        platform=process.get("platform", ""),
        cpu=cpu_name(),
        cores=process.get("cores", 1),
        threads=process.get("threads", 1),
        device=Device(kind=device["kind"], name=device.get("name") or cpu_name(), **named),
        commit=git_commit(Path(process.get("folder", "."))),
        libraries={"torch": process.get("torch", ""), **process.get("libraries", {})},
    )
