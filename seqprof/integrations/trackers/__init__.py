"""Experiment trackers: `--log NAME` hands them what `run` and `scale` found."""
