"""The argument about recurrence, put to the test: parts of the evidence, and who collects it."""
