"""What `seqprof doctor` checks."""
