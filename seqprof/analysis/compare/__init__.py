"""Several candidates in interleaved rounds."""
