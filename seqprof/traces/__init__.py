"""Read a trace file into the :class:`~seqprof.analysis.timeline.structure.Timeline` structure."""
