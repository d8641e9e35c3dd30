"""The first iterations of a script: which modules are called, how often, and where T is."""
