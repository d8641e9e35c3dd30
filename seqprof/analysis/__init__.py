"""Pure functions from a Recording to a Summary; one quantity of docs/metrics.md per file."""
