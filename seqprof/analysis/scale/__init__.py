"""Growth over sequence length and batch size."""
