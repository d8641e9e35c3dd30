"""Timesteps that no module marks (recurrences in plain operators), in a run's profiled pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import shown

from seqprof.analysis.run.summary import summarise
from seqprof.measure.outcome import NoProgress, Outcome
from seqprof.measure.run import measure_run
from seqprof.recording import ProfiledPass, RepeatedActivities
from seqprof.spec import Spec

T, LAYERS = 24, 3

#: Each loop as people write it, with no parameter in it; `Model` stacks them.
MODELS = """
import torch
from torch import nn
from torch.nn.functional import softplus

class Layer(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.projection, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.decay = nn.Parameter(torch.rand(size, 4))

    def forward(self, x):
        return self.out(torch.stack(self.scan(*self.projection(x).chunk(3, -1)), 1))

class SelectiveScan(Layer):
    def scan(self, u, delta, b):
        b, c = b[..., :4], b[..., 4:8]
        a = torch.exp(torch.einsum("bld,dn->bldn", softplus(delta), -self.decay))
        bu = torch.einsum("bld,bln,bld->bldn", delta, b, u)
        x, ys = torch.zeros_like(bu[:, 0]), []
        for i in range(u.shape[1]):
            x = a[:, i] * x + bu[:, i]
            ys.append(torch.einsum("bdn,bn->bd", x, c[:, i, :]))
        return ys

class MinGRU(Layer):
    def scan(self, u, z, _):
        h, hs = torch.zeros_like(u[:, 0]), []
        for u_t, z_t in zip(u.unbind(1), torch.sigmoid(z).unbind(1)):
            h = torch.lerp(h, u_t, z_t)
            hs.append(h)
        return hs

class LinearAttention(Layer):
    def scan(self, q, k, v):
        state, out = q.new_zeros(q.shape[0], self.size, self.size), []
        for t in range(q.shape[1]):
            state = state + k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(1)
            out.append(torch.bmm(q[:, t].unsqueeze(1), state).squeeze(1))
        return out

class BothDirections(Layer):
    def scan(self, u, a, _):
        passes = []
        for order in (range(u.shape[1]), reversed(range(u.shape[1]))):
            h, hs = torch.zeros_like(u[:, 0]), {}
            for t in order:
                h = torch.sigmoid(a[:, t]) * h + u[:, t]
                hs[t] = h
            passes.append(torch.stack([hs[t] for t in range(u.shape[1])]))
        return sum(passes).unbind(0)

class LessOne(Layer):
    def scan(self, u, a, _):
        hs = []
        for t in range(u.shape[1]):
            hs.append(torch.tanh(a[:, t] * hs[-1] + u[:, t]) if hs else u[:, t])
        return hs

class TakingTurns(Layer):
    def scan(self, u, *_):
        states, out = [0.0] * 3, []
        for x in u.unbind(1):
            for row in range(3):
                states[row] = x = torch.sin(states[row] + x)
            out.append(x)
        return out

class NothingBetween(Layer):
    \"\"\"Two directions, which a profile cannot tell from states that take turns.\"\"\"
    def scan(self, u, *_):
        inputs, passes = u.unbind(1), ([], [])
        states = [inputs[0] * 0 for _ in passes]
        for order, (hs, h) in zip((inputs, inputs[::-1]), zip(passes, states)):
            for x in order:
                h = torch.sin(h + x)
                hs.append(h)
        return (torch.stack(passes[0]) + torch.stack(passes[1][::-1])).unbind(0)

class ThenALayer(Layer):
    \"\"\"A parameter in the loop, and behind it what looks like a timestep.\"\"\"
    def scan(self, u, *_):
        h, hs = torch.zeros_like(u[:, 0]), []
        for x in u.transpose(0, 1):
            h = torch.sigmoid(self.decay[:, 0]) * h + x
            hs.append(h)
        return hs

class OneLength(Layer):
    \"\"\"No other length can be run, so nothing shows whether operators follow it.\"\"\"
    def __init__(self, size):
        super().__init__(size)
        self.all = nn.Linear(24 * size, 24 * size)

    def scan(self, u, a, _):
        u, h, hs = self.all(u.flatten(1)).view(u.shape), torch.zeros_like(u[:, 0]), []
        for t in range(u.shape[1]):
            h = torch.sigmoid(a[:, t]) * h + u[:, t]
            hs.append(h)
        return hs

class Pointwise(Layer):
    def scan(self, u, *_):
        return torch.tanh(u).unbind(1)

class Model(nn.Module):
    def __init__(self, kind, layers, size=16):
        super().__init__()
        self.embedding, self.head = nn.Embedding(256, size), nn.Linear(size, 256)
        self.layers = nn.ModuleList(globals()[kind](size) for _ in range(layers))

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = x + layer(x / (1 + x.pow(2).mean(-1, keepdim=True)).sqrt())
        return self.head(x)

def lengths():
    torch.manual_seed(0)
    for length in (11, 24, 17, 13, 24, 19) * 50:
        tokens = torch.randint(256, (2, length))
        yield tokens, tokens
lengths.vocabulary = 256
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scans")
    (made / "own_scans.py").write_text(MODELS)
    return made


def run(
    folder: Path, kind: str, layers: int = LAYERS, timesteps: int = T, data: Any = None, **more: Any
) -> Outcome:
    kwargs = {"kind": kind, "layers": layers}
    measure = {"pairs": 3, "max_s": 0.1, "warmup": 1, "threads": 1, "sweep": False, **more}
    spec = Spec.model_validate(
        {
            "model": {"target": "own_scans:Model", "kwargs": kwargs},
            "data": data or {"seq_len": timesteps, "batch_size": 2},
            "measure": measure,
        }
    )
    return measure_run(spec, folder, "test", NoProgress())


def pass_of(outcome: Outcome) -> ProfiledPass:
    made = outcome.recording.trials[0].profile
    assert made is not None
    return made


def by_phase(outcome: Outcome) -> dict[str, RepeatedActivities]:
    made = pass_of(outcome)
    loops = {loop.phase: loop for loop in made.recurrences}
    assert len(loops) == len(made.recurrences)
    return loops


@pytest.mark.parametrize(
    ("kind", "repeats", "loops"),
    [
        ("SelectiveScan", T, 1),
        ("MinGRU", T, 1),
        ("LinearAttention", T, 1),
        ("BothDirections", T, 2),
        ("LessOne", T - 1, 1),
        ("TakingTurns", T, 1),
        ("ThenALayer", T, 1),
    ],
)
def test_timesteps_are_the_repeats_that_follow_the_length(
    folder: Path, kind: str, repeats: int, loops: int
) -> None:
    made = run(folder, kind)
    phases = by_phase(made)
    assert set(phases) == {"forward", "backward"}
    for loop in phases.values():
        assert (loop.repeats, len(loop.latency_s), loop.loops) == (repeats, repeats, loops * LAYERS)
        assert 0 < sum(loop.latency_s) < max(pass_of(made).wall_s)


@pytest.mark.parametrize("timesteps", [7, 90])
def test_short_and_long_sequences_of_one_layer(folder: Path, timesteps: int) -> None:
    loops = by_phase(run(folder, "SelectiveScan", 1, timesteps))
    assert {loop.repeats for loop in loops.values()} == {timesteps}


def test_lengths_that_differ_from_step_to_step(folder: Path) -> None:
    data = {"target": "own_scans:lengths"}
    loops = by_phase(run(folder, "MinGRU", data=data, profile_steps=4))
    assert loops["forward"].repeats in {11, 24, 17, 13, 19}
    assert loops["forward"].loops == LAYERS


@pytest.mark.parametrize("kind", ["NothingBetween", "TakingTurns"])
def test_several_repeats_a_timestep_are_said_to_be_passes_perhaps(folder: Path, kind: str) -> None:
    made = run(folder, kind)
    loop = by_phase(made)["forward"]
    assert loop.repeats == T
    report = shown(made.recording, width=80, full=True)
    for text in (loop.evidence, " ".join(report.split())):
        assert "only the mean of these latencies is right" in text


def test_as_many_layers_as_timesteps_are_no_timesteps(folder: Path) -> None:
    made = run(folder, "Pointwise", layers=T)
    assert pass_of(made).recurrences == ()
    # Beside a loop whose operators grow with T, they are layers still.
    both = pass_of(run(folder, "MinGRU", layers=12, timesteps=12))
    forward = [loop for loop in both.recurrences if loop.phase == "forward"]
    assert {loop.repeats for loop in forward} == {12}
    assert sum(loop.loops for loop in forward) == 12


def test_a_loop_of_one_length_is_told_by_the_slices_that_it_takes(folder: Path) -> None:
    loops = by_phase(run(folder, "OneLength"))
    assert {loop.repeats for loop in loops.values()} == {T}
    assert "the next slice of an input" in loops["forward"].evidence


def test_the_report_has_their_latency_with_its_method(folder: Path) -> None:
    made = run(folder, "SelectiveScan")
    trial = made.recording.trials[0]
    assert trial.latencies == ()
    assert summarise(made.recording).profile is not None
    short = shown(made.recording, width=80)
    assert "The timesteps are operators that repeat" in " ".join(short.split())
    assert "Not measured: no submodule" not in short
    full = shown(made.recording, width=80, full=True)
    [table] = [part for part in full.split("\n\n") if "What repeats, in profiled steps" in part]
    rows = [line.split()[:4] for line in table.splitlines() if line.startswith(("forward", "BPTT"))]
    assert [row[:3] for row in rows] == [
        [name, f"{T}", f"{LAYERS}"] for name in ("forward", "BPTT")
    ]
