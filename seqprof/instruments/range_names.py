"""Names of our ranges in a trace; torch is not imported for them."""

#: Prefix of every range of ours in a trace.
OWN = "seqprof."
#: Ranges that tie the clocks, before the first recorded step and after the last.
CLOCK_NAMES = (OWN + "clock.begin", OWN + "clock.end")
