"""One training run: every quantity of docs/metrics.md from its recording."""
