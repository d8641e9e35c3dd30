"""A simulated asynchronous accelerator ("sim") for PyTorch, and an NVML library that reads it.

Importing this package changes nothing. In a process with SIMACCEL=1 and the package's entry point
on its path (`environment.py` sets both up), `import torch` loads the device, and
`torch.accelerator.current_accelerator()` is `sim`. See README.md.
"""

import os


def autoload() -> None:
    """Called by `import torch` through the entry point group `torch.backends`."""
    if os.environ.get("SIMACCEL") == "1":
        from .device import register

        register()
