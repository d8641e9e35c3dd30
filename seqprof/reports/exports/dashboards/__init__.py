"""Ready dashboards for what seqprof exports: `seqprof dashboard` writes them as files."""
