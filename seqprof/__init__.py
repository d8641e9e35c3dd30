"""seqprof: what every timestep of a sequence model's training costs, and how idle the device is."""

__version__ = "0.1.0"
