"""Results as files for other programs: one module a format, none of them for people to read."""
