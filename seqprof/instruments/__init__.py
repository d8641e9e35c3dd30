"""What is recorded inside a step; attaches to any nn.Module by hooks."""
