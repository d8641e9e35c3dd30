"""The quantities of a run: one entry each, with how it is read."""
