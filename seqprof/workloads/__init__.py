"""What is trained: model families, data and the training step."""
