"""One bench for every conductor: `run` and `compare` find the same, and probes cost themselves.

Models are written to files, as users have them; processes of `compare` are real.
"""

from __future__ import annotations

import gc
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqprof.analysis.run.marginal import derive_marginal, theil_sen
from seqprof.analysis.run.summary import summarise
from seqprof.errors import SeqprofError
from seqprof.instruments.clocks import host_clock_ns
from seqprof.measure.candidates import Contender
from seqprof.measure.compare import Plan, measure_comparison
from seqprof.measure.outcome import NoProgress, Outcome
from seqprof.measure.run import measure_run
from seqprof.measure.trial.assembly import assemble
from seqprof.measure.trial.bench import Bench
from seqprof.recording import PrefixPoint, Step, Trial
from seqprof.spec import Spec

OWN = '''
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

class Cells(nn.Module):
    """A loop over a cell; how often it is called, and what is odd about it, is chosen."""

    def __init__(self, calls="T", dtype="float32", odd=None, nested=False):
        super().__init__()
        self.entry = nn.Linear(3, 8).to(getattr(torch, dtype))
        self.cell = nn.GRUCell(8, 8).to(getattr(torch, dtype))
        self.exit = nn.Linear(8, 2).to(getattr(torch, dtype))
        self.calls, self.odd, self.nested = calls, odd, nested
        self.steps = 0

    def forward(self, inputs):
        x = inputs["x"][0] if self.nested else inputs
        x = self.entry(x)
        xs = list(x.unbind(1))
        if self.calls == "T-1":
            xs = xs[1:]
        if self.calls == "T/2":
            xs = xs[1::2]
        if self.calls == "2T":
            xs = [each for each in xs for _ in range(2)]
        if self.odd == "fixed" and len(xs) != 12:
            raise RuntimeError("12 timesteps only")
        h = x.new_zeros(x.shape[0], 8)
        for each in xs:
            h = self.cell(each, h)
        if self.odd == "hooked" and "forward" in self.cell.__dict__:
            raise RuntimeError("somebody replaced my forward")
        if self.odd == "values" and h.sum().item() > 1e9:
            h = h * 2
        return self.exit(h)

def batches(lengths=(12,), batch=4, dtype="float32", nested=False, dicts=False):
    generator = torch.Generator().manual_seed(0)
    while True:
        for length in lengths:
            x = torch.randn(batch, length, 3, generator=generator).to(getattr(torch, dtype))
            y = torch.randn(batch, 2, generator=generator).to(getattr(torch, dtype))
            x = {"x": (x, None)} if nested else x
            yield {"inputs": x, "targets": y} if dicts else (x, y)
'''
FAST = {"pairs": 4, "max_s": 0.4, "threads": 1, "warmup": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    (made / "own_cells.py").write_text(OWN)
    return made


def spec_of(model: dict[str, Any], data: dict[str, Any] | None = None, **measure: Any) -> Spec:
    return Spec.model_validate(
        {
            "model": {"target": "own_cells:Cells", "kwargs": model},
            "data": {"target": "own_cells:batches", "kwargs": data or {}, "time_dim": 1},
            "train": {"loss": "mse"},
            "measure": {**FAST, **measure},
        }
    )


def run(spec: Spec, folder: Path) -> Outcome:
    return measure_run(spec, folder, "test", NoProgress())


def trial_of(outcome: Outcome) -> Trial:
    assert outcome.exit_code == 0, outcome.recording.trials[0].incidents
    return outcome.recording.trials[0]


def test_run_and_compare_of_one_spec_find_the_same(folder: Path) -> None:
    spec = spec_of({}, max_s=2.0, pairs=12)
    alone = run(spec, folder)
    contenders = tuple(Contender(label, spec, folder) for label in ("a", "b"))
    plan = Plan(contenders=contenders, baseline="a", rounds=6, timesteps=True)
    beside = measure_comparison(plan, "test", NoProgress()).recording
    one, other = trial_of(alone), beside.trials[0]
    counted = [{a.phase: a.operations for a in trial.accounts} for trial in (one, other)]
    assert counted[0] == counted[1]
    assert one.loops == other.loops
    assert one.workload == other.workload
    assert one.depth == other.depth
    assert one.timestep_operations == other.timestep_operations
    assert {i.kind for i in one.incidents} == {i.kind for i in other.incidents}
    # Of one program on one machine; a neighbour may slow either of them for a while.
    walls = [[s.wall_s for s in trial.steps if s.kind == "bare"] for trial in (one, other)]
    assert min(walls[0]) / 3 < median(walls[1]) < 3 * max(walls[0])


def test_marks_that_a_model_does_not_bear_cost_the_timesteps_only(folder: Path) -> None:
    trial = trial_of(run(spec_of({"odd": "hooked"}), folder))
    kinds = {step.kind for step in trial.steps}
    assert kinds == {"bare", "bounded", "metered"}
    assert not trial.latencies
    assert "marks_failed" in {incident.kind for incident in trial.incidents}
    assert "replaced my forward" in str(trial.timesteps_reason) + str(trial.incidents)


@pytest.mark.parametrize("odd", ["fixed", "values"])
def test_probes_that_fail_cost_their_own_figure_with_the_reason(folder: Path, odd: str) -> None:
    trial = trial_of(run(spec_of({"odd": odd}), folder))
    assert {step.kind for step in trial.steps} == {"bare", "bounded", "probed", "metered"}
    assert trial.depth is not None
    assert trial.depth.law is None
    assert trial.depth.reason
    assert trial.loops[0].loop == "cell"


def test_a_step_that_fails_by_itself_is_the_models_and_names_the_line(folder: Path) -> None:
    named = r"own_cells\.py:\d+: RuntimeError: 12 timesteps only"
    with pytest.raises(SeqprofError, match=named) as caught:
        run(spec_of({"odd": "fixed"}, {"lengths": [11]}), folder)
    assert "without any of seqprof's instruments" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("calls", "expected", "positions"),
    [("T", 12, 12), ("T-1", 11, 11), ("T/2", 6, 6), ("2T", 24, 12)],
)
def test_loops_are_reported_as_they_are(
    folder: Path, calls: str, expected: int, positions: int
) -> None:
    trial = trial_of(run(spec_of({"calls": calls}, timesteps={"stride": 1}), folder))
    [loop] = trial.loops
    assert (loop.loop, loop.calls, loop.positions) == ("cell", expected, positions)
    for latency in trial.latencies:
        assert len(latency.p50_s) == positions
        assert min(latency.samples) > 0


def test_timesteps_add_up_in_every_step_whatever_its_length(folder: Path) -> None:
    spec = spec_of({}, {"lengths": [9, 12, 15, 20]}, pairs=8, max_s=3.0, timesteps={"stride": 1})
    outcome = run(spec, folder)
    trial = trial_of(outcome)
    assert {step.timesteps for step in trial.steps} == {(9,), (12,), (15,), (20,)}
    samples = next(x.samples for x in trial.latencies if x.phase == "forward")
    assert len(samples) == 20
    assert samples[0] > samples[19] > 0
    for step in (step for step in trial.steps if step.kind == "probed"):
        for loop in step.loops:
            assert 0 < loop.host_s < step.phases[loop.phase].host_s
    natural = derive_marginal(trial)
    assert all("natural variation" in cost.marginal.method for cost in natural)
    assert all((cost.shortest or 99) < (cost.longest or 0) for cost in natural)
    assert summarise(outcome.recording).step.value


@pytest.mark.timing
def test_natural_variation_agrees_with_a_sweep_of_prefixes(folder: Path) -> None:
    """The same cell over sequences of 16 to 64 as they come, and over prefixes of 64, in turn."""
    varied, fixed = (
        bench_of(spec_of({}, {"lengths": lengths}), folder)
        for lengths in ([16, 64, 32, 48, 24, 56, 40], [64])
    )
    steps: list[Step] = []
    points: list[PrefixPoint] = []
    for round_ in range(21):  # each length three times
        steps += [step for taken in varied.take_round(round_) for step in taken.steps]
        points += fixed.sweep(0.0).points
    trial = Trial(workload=varied.workload, warmup_wall_s=(), steps=tuple(steps))
    natural = {cost.phase: cost for cost in derive_marginal(trial)}
    for phase in ("forward", "backward"):
        times = [getattr(point, f"{phase}_s") for point in points]
        _, low, high = theil_sen([float(point.timesteps) for point in points], times)
        slope = natural[phase].marginal
        assert slope.low is not None
        assert slope.high is not None
        assert slope.low <= high
        assert low <= slope.high


def bench_of(spec: Spec, folder: Path) -> Bench:
    made = assemble(spec, folder, torch.device("cpu"), NoProgress())
    bench = Bench(made, spec, folder, host_clock_ns(), NoProgress())
    bench.prepare(timesteps=False)
    return bench


def test_bare_steps_have_nothing_in_them_and_each_kind_has_its_cost(folder: Path) -> None:
    outcome = run(spec_of({}, pairs=6), folder)
    for step in trial_of(outcome).steps:
        assert bool(step.phases) == (step.kind != "bare")
        assert bool(step.loops) == (step.kind == "probed")
        cpu = {timing.cpu_s is not None for timing in step.phases.values()}
        assert cpu == {step.kind == "metered"} or not step.phases
    costs = {cost.kind: cost.change.value for cost in summarise(outcome.recording).step_costs}
    assert costs.keys() == {"bounded", "probed", "metered"}
    assert None not in costs.values()


@pytest.mark.timing
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    calls=st.sampled_from(["T", "T-1", "T/2", "2T"]),
    odd=st.sampled_from([None, "values", "hooked"]),
    lengths=st.lists(st.integers(5, 16), min_size=1, max_size=3),
    batch=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float64"]),
    dicts=st.booleans(),
)
def test_any_model_and_loader_is_measured_and_never_blamed(
    folder: Path,
    calls: str,
    odd: str | None,
    lengths: list[int],
    batch: int,
    dtype: str,
    dicts: bool,
) -> None:
    data = {"lengths": lengths, "batch": batch, "dtype": dtype, "dicts": dicts}
    spec = spec_of({"calls": calls, "odd": odd, "dtype": dtype}, data, max_s=0.2, pairs=2)
    trial = trial_of(run(spec, folder))
    assert {step.timesteps[0] for step in trial.steps} <= set(lengths)
    assert "step_failed" not in {incident.kind for incident in trial.incidents}
    bare = [step.wall_s for step in trial.steps if step.kind == "bare"]
    own = own_times(lengths, batch, dtype, calls, folder)
    # An independent loop of the same program, a moment later on the same machine.
    assert min(own) / 4 < median(bare) < 4 * max(own)


def own_times(lengths: list[int], batch: int, dtype: str, calls: str, folder: Path) -> list[float]:
    """Seconds of steps of the same model in a plain loop."""
    module: dict[str, Any] = {}
    exec((folder / "own_cells.py").read_text(), module)
    model = module["Cells"](calls=calls, dtype=dtype)
    optimizer = torch.optim.Adam(model.parameters())
    times = []
    gc.collect()
    for _, (x, y) in zip(range(12), module["batches"](lengths, batch, dtype), strict=False):
        began = host_clock_ns()
        torch.nn.functional.mse_loss(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append((host_clock_ns() - began) * 1e-9)
    return times[2:]
