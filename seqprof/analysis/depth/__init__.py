"""The graph of operations: work, depth and their laws in T."""
