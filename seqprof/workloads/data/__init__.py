"""Where batches come from, and how those of a user are read."""
