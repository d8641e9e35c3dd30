"""A foreign training loop: recorded events → iterations → phases, by pure functions."""
