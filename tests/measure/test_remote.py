"""Workers that hang or die, as real processes."""

from pathlib import Path
from time import perf_counter_ns

import pytest

from seqprof.errors import SeqprofError
from seqprof.measure.candidates import resolve
from seqprof.measure.workers.field import Field
from seqprof.measure.workers.messages import Describe
from seqprof.measure.workers.remote import WorkerDiedError, WorkerGroup
from seqprof.recording import Workload
from seqprof.spec import Spec

OWN = """
import os, time
from torch import nn

def hangs(): time.sleep(1000)
def leaves(): os._exit(3)
def works(): return nn.Sequential(nn.Embedding(256, 4), nn.Linear(4, 256))
"""
#: Long enough for imports and a model on a busy machine.
LONG_S = 120.0


def spec(name: str) -> Spec:
    data = {"kind": "synthetic", "seq_len": 8, "batch_size": 2}
    return Spec.model_validate({"model": {"target": f"planted:{name}"}, "data": data})


def test_a_worker_that_hangs_or_leaves_ends_alone(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(OWN)
    group = WorkerGroup([tmp_path] * 3, perf_counter_ns())
    try:
        hangs, leaves, works = group.workers
        for worker in group.workers:
            worker.await_ready(LONG_S)
        with pytest.raises(WorkerDiedError, match="no answer within 1 s; it was ended") as hung:
            hangs.ask(1.0, Describe(spec("hangs")))
        assert hung.value.kind == "hung"
        with pytest.raises(WorkerDiedError, match="exit code 3") as left:
            leaves.ask(LONG_S, Describe(spec("leaves")))
        assert left.value.kind == "killed"
        with pytest.raises(SeqprofError, match="missing"):
            works.ask(LONG_S, Describe(spec("missing")))
        described = works.ask(LONG_S, Describe(spec("works")))
        assert isinstance(described, Workload)
    finally:
        group.close()


def test_workers_that_still_import_are_waited_for_no_longer_than_allowed() -> None:
    with (
        Field(resolve(["lstm"], None, []), starting_s=0.01) as field,
        pytest.raises(SeqprofError, match="did not start: no answer within"),
    ):
        field.wait_until_ready()
