"""Pure functions from a Summary to a format; one format per file."""
