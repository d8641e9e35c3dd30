"""Kernel timelines: exact busy and idle time, per phase and per timestep, and why the device idled.

:class:`~seqprof.analysis.timeline.structure.Timeline` is what was seen; it comes from a trace file
(``seqprof.traces``) or from a profiled pass. Everything else here is a pure function of it.
"""
