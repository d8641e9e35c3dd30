"""Exceptions that pass through the hooks are shown as without them."""

from pathlib import Path

import pytest
from attach_scripts import bare, watch_script

HEAD = """
import logging, sys, threading, traceback
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.calls, self.fails_at = nn.GRUCell(4, 8), 0, -1

    def forward(self, x):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyError("inside of forward")
        h = x.new_zeros(x.size(0), 8)
        for part in x.unbind(1):
            h = self.cell(part, h)
        return h

model = Model()
optimizer = torch.optim.SGD(model.parameters(), 0.1)

def train(steps=7):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(2, 5, 4)).square().mean().backward()
        optimizer.step()
"""

ENDINGS = {
    "uncaught": "model.fails_at = 6\ntrain()\n",
    "caught, then chained": """
train()
for wrong in (
    lambda: model(torch.randn(2, 5, 3)),
    lambda: torch.ones(3, requires_grad=True).backward(),
    lambda: torch.optim.SGD([]),
):
    try:
        wrong()
    except Exception:
        traceback.print_exc()
        logging.exception("logged")
thread = threading.Thread(target=model, args=(torch.randn(2, 5, 3),))
thread.start()
thread.join()
try:
    model(torch.randn(2, 5, 3))
except RuntimeError as error:
    raise ValueError("a wrong size") from error
""",
    "hook of the script": """
sys.excepthook = lambda kind, error, tb: print("mine", kind, len(traceback.extract_tb(tb)))
model.fails_at = 6
train()
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_as_without_us(ending: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HEAD + ENDINGS[ending])
    watched, alone = watch_script(tmp_path, script), bare(script)
    assert watched.stdout == alone.stdout
    assert watched.stderr.startswith(alone.stderr)
    assert watched.exit_code == alone.returncode
    assert watched.loop.iterations
