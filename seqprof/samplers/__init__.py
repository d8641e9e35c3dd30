"""What is recorded beside a step: the device by a process of its own, the host by its counters."""
