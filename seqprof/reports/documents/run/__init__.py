"""The document of `seqprof run`, a file a section."""
