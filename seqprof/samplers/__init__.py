"""What is recorded beside a step, in a process of its own."""
