"""Every family through `compare` and through `scale`, as a user runs them: one process each.

`run` and `depth` of every family and form are in tests/measure/test_families_run.py.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import widest

from seqprof.measure.candidates import resolve
from seqprof.workloads.registry import families

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BASE = """\
model: {name: lstm, hidden_size: 16}
data: {kind: synthetic, task: copy, seq_len: 16, batch_size: 2}
measure: {warmup: 1, sweep: false, threads: 1, device: cpu}
"""
#: What a family of another package's needs: its sizes in its own words.
LIBRARY = """\
model: {name: transformers, config: {model_type: gpt2, n_embd: 16, n_layer: 1, n_head: 2}}
data: {kind: synthetic, task: copy, seq_len: 16, batch_size: 2}
measure: {warmup: 1, sweep: false, threads: 1, device: cpu}
"""
LENGTHS = (8, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("families")
    (made / "base.yaml").write_text(BASE)
    (made / "gpt2.yaml").write_text(LIBRARY)
    return made


def words() -> list[str]:
    """Every registered family in its usual form; and the other form of the recurrent ones."""
    names = [name for name in families() if name != "transformers"]
    library = ["gpt2.yaml"] if find_spec("transformers") else []
    return [*names, "lstm@cell", "mingru@sequential", "mlstm@chunked", *library]


def measured(command: str, folder: Path, *options: str) -> tuple[Any, str]:
    """Run ``command`` on all families; its document and what it printed."""
    file = folder / f"{command}.json"
    lengths = ",".join(map(str, LENGTHS))
    points = ("--config", "base.yaml", "--seq-len", lengths)
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", command, *words(), *points, "-o", str(file), *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def expected_depth(word: str, folder: Path) -> str | None:
    """How the registry says that the depth of this candidate grows."""
    if word.endswith(".yaml"):
        return None
    [contender] = resolve([word], folder / "base.yaml", [])
    model = contender.spec.model
    family = families()[str(model.name)]
    form = model.execution or "one"
    return next((growth.depth for growth in family.growth if growth.form == form), None)


def test_every_family_is_compared(folder: Path) -> None:
    document, printed = measured("compare", folder, "--rounds", "1")
    assert widest(printed) <= 80
    lengths = document["summary"]["lengths"]
    assert [length["timesteps"] for length in lengths] == list(LENGTHS)
    for length in lengths:
        assert [candidate["label"] for candidate in length["candidates"]] == words()
        for candidate in length["candidates"]:
            assert candidate["failed"] is None
            assert candidate["step"]["value"] > 0
            assert candidate["forward"]["value"] > 0
        # Of single steps, which one interruption makes longer: only together.
        whole, forward = (
            sum(candidate[part]["value"] for candidate in length["candidates"])
            for part in ("step", "forward")
        )
        assert whole > forward
    for short, long in zip(*(length["candidates"] for length in lengths), strict=True):
        assert_depth(short, long, expected_depth(short["label"], folder))


def assert_depth(short: dict[str, Any], long: dict[str, Any], expected: str | None) -> None:
    """The law is of the kind that the registry says, and both lengths obey it."""
    label, law, terms = long["label"], long["depth"]["law"], long["depth"]["coefficients"]
    assert 0 < short["depth"]["depth_ops"] <= long["depth"]["depth_ops"], label
    assert 0 < short["depth"]["work_ops"] <= long["depth"]["work_ops"], label
    growth = long["depth"]["depth_ops"] - short["depth"]["depth_ops"]
    if expected == "constant":
        assert (terms.keys(), growth) == ({"1"}, 0), label
    elif expected == "log T":
        assert ("log2 T" in law, "T" in terms) == (True, False), label
    elif expected == "T":
        assert growth == terms["T"] * (LENGTHS[1] - LENGTHS[0]) > 0, label


def test_every_family_is_scaled(folder: Path) -> None:
    # Warming all up takes 8 s; a point for which none is left is not tried.
    document, printed = measured("scale", folder, "--budget", "15s")
    assert widest(printed) <= 80
    points = document["summary"]["points"]
    assert [(p["label"], p["timesteps"]) for p in points] == [
        (word, length) for word in words() for length in LENGTHS
    ]
    for point in points:
        assert point["failed"] is None
        assert point["step"]["value"] > 0
        assert point["depth"]["depth_ops"] > 0
