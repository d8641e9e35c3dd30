"""Every warning about a run: what it says, its evidence, and what to do about it."""
