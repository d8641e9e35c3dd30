"""Sequential depth: record every tensor operation and what it consumes."""

from seqprof.instruments.depth.recorder import DepthRecorder

__all__ = ["DepthRecorder"]
