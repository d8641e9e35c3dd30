"""The trend over many runs."""
