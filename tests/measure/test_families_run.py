"""Every family learns, and is measured from the spec to the printed report.

Through `compare` and `scale` every family goes in tests/cli/test_every_family.py.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import widest
from terminal import shown

from seqprof.analysis.depth.graph import cost
from seqprof.analysis.depth.laws import fit_law
from seqprof.measure.depth.counted import record, record_lengths
from seqprof.measure.depth.subjects import family_subject
from seqprof.measure.outcome import NoProgress
from seqprof.measure.run import measure_run
from seqprof.spec import ModelSpec, Spec
from seqprof.spec_checks import conflicts
from seqprof.workloads.build import build
from seqprof.workloads.registry import families, find_family

MODELS: list[dict[str, Any]] = [
    {"name": "lstm", "projection": 8, "execution": "cell"},
    {"name": "lstm", "projection": 8, "execution": "fused"},
    {"name": "linear-attention"},
    {"name": "linear-attention", "execution": "chunked", "chunk": 8},
    {"name": "retention"},
    {"name": "retention", "execution": "chunked", "chunk": 8},
    {"name": "mingru"},
    {"name": "mingru", "execution": "sequential"},
    {"name": "minlstm"},
    {"name": "minlstm", "execution": "sequential"},
    {"name": "ssm"},
    {"name": "ssm", "execution": "sequential"},
    {"name": "mamba", "state_size": 4},
    {"name": "mamba", "execution": "sequential", "state_size": 4},
    {"name": "mamba", "transition": "scalar"},
    {"name": "mamba", "transition": "scalar", "execution": "chunked", "chunk": 8},
    {"name": "slstm"},
    {"name": "mlstm"},
    {"name": "mlstm", "execution": "chunked", "chunk": 8},
    {"name": "tcn", "layers": 2},
]
each_model = pytest.mark.parametrize(
    "model", MODELS, ids=lambda model: "-".join(map(str, model.values()))
)


def make_spec(model: dict[str, Any], seq_len: int) -> Spec:
    size = {} if model["name"] == "transformers" else {"hidden_size": 32}
    kind = {"kind": "text", "path": __file__}
    if model["name"] == "encoder":  # sees later tokens, so it cannot predict text
        kind = {"kind": "synthetic", "task": "copy"}
    spec = Spec.model_validate(
        {
            "model": {**size, **model},
            "data": {**kind, "seq_len": seq_len, "batch_size": 4},
            "measure": {"pairs": 3, "max_s": 0.1, "warmup": 1, "device": "cpu", "threads": 1}
            | {"timesteps": {"stride": 1}},
        }
    )
    assert list(conflicts(spec)) == []
    return spec


@each_model
def test_the_loss_on_text_falls(model: dict[str, Any]) -> None:
    built = build(make_spec(model, seq_len=16), Path())
    optimizer = torch.optim.Adam(built.model.parameters(), 0.02)
    losses = []
    for _, batch in zip(range(25), built.data, strict=False):
        loss = built.loss(built.model(batch.inputs), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]


GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}
MAMBA = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}
LIBRARY: list[dict[str, Any]] = [
    {"name": "transformers", "config": config} for config in (GPT2, MAMBA)
]
#: Each family once, and one loop of a scan.
MEASURED = [
    *({"name": name} for name in ("rnn", "gru", "attention", "encoder")),
    *(m for m in MODELS if m.get("execution") not in ("sequential", "chunked")),
    {"name": "mingru", "execution": "sequential"},
    *LIBRARY,
]
needs_library = pytest.mark.skipif(
    find_spec("transformers") is None,
    reason="transformers is not installed (pip install 'seqprof[transformers]')",
)


def test_no_family_is_missing() -> None:
    assert {model["name"] for model in MEASURED} == set(families())


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=needs_library if m in LIBRARY else ()) for m in MEASURED],
    ids=lambda model: "-".join(map(str, model.values()))[:40],
)
def test_it_is_measured_and_reported(model: dict[str, Any]) -> None:
    outcome = measure_run(make_spec(model, seq_len=20), Path(), "seqprof run x.yaml", NoProgress())
    assert outcome.exit_code == 0
    trial = outcome.recording.trials[0]
    marked = model["name"] == "slstm" or model.get("execution") in ("cell", "sequential")
    assert bool(trial.latencies) == marked
    assert bool(trial.sweep) != marked
    for latency in trial.latencies:
        assert len(latency.p50_s) == 20
        assert all(seconds is not None and seconds > 0 for seconds in latency.p50_s)
    assert (trial.workload.flops_per_step is None) == (model in LIBRARY)
    assert trial.depth is not None
    assert trial.depth.law is not None
    printed = shown(outcome.recording)
    assert widest(printed) <= 80
    assert f"{model['name']}" in printed
    assert "model.execution=fused" not in printed or "projection" in model


def depths(model: dict[str, Any], lengths: tuple[int, ...]) -> list[int]:
    subject = family_subject(ModelSpec.model_validate({"hidden_size": 16, **model}), 2)
    return [cost(record(subject, t)).depth_ops for t in lengths]


@each_model
def test_the_depth_grows_as_the_registry_says(model: dict[str, Any]) -> None:
    family, execution = find_family(model["name"]), model.get("execution")
    form = execution or family.default_execution or "one"
    if model.get("transition") == "scalar":
        form += ", scalar"
    law = next(growth.depth for growth in family.growth if growth.form == form)
    a, b, c = depths(model, (16, 32, 64))
    if law == "constant":
        assert a == b == c
    elif law == "log T":
        assert 0 < b - a == c - b < 16
    elif law == "T":
        assert 2 * (b - a) == c - b >= 32
    else:
        assert law == "T/C"  # C = 8: 2, 4 and 8 chunks
        assert 2 * (b - a) == c - b > 0
        assert c - b < 4 * 8


@needs_library
@pytest.mark.parametrize(("model", "term"), [(LIBRARY[0], "1"), (LIBRARY[1], "T")])
def test_the_librarys_architectures_have_a_law(model: dict[str, Any], term: str) -> None:
    """GPT-2's is constant; Mamba without its kernels is a loop, which a note tells."""
    subject = family_subject(ModelSpec.model_validate(model), 2)
    found, _ = record_lengths(subject, [16], lambda done: None)
    law = fit_law({point.timesteps: point.step.depth_ops for point in found.points})
    assert next(iter(law.coefficients)) == term
    slow = model["config"] is MAMBA and find_spec("mamba_ssm") is None
    assert any("slow path" in note for note in found.notes) == slow
