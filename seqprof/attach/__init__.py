"""Attaching to a training loop that knows nothing of seqprof.

The agent (everything that runs inside the script's process) uses the standard library and, once the
script has imported it, torch. The other half starts the script and turns what the agent recorded
into a :class:`~seqprof.recording.Recording`.
"""
