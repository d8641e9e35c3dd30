"""The argument about recurrence, claim by claim, from what was measured."""
