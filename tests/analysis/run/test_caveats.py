"""Each caveat speaks when its cause is planted, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from example_recordings import (
    ALL,
    CPU_PHASES,
    accelerator,
    change_trial,
    cpu_cell,
    cpu_fused,
    environment,
    operations,
    pairs,
    quiet_host,
    spec,
    workload,
)

from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.caveats.incidents import INCIDENTS
from seqprof.analysis.run.summary import summarise
from seqprof.recording import Incident, OperationCount, Recording, SampleSeries, Step


def caveats(recording: Recording) -> dict[str, Caveat]:
    return {caveat.kind: caveat for caveat in summarise(recording).caveats}


def _scaled(scale: Callable[[int], float]) -> Callable[[], Recording]:
    """The steps of round r take ``scale(2 r)`` times as long."""

    def make() -> Recording:
        made = cpu_cell()
        steps = tuple(
            replace(step, wall_s=step.wall_s * scale(2 * step.pair))
            for step in made.trials[0].steps
        )
        return change_trial(made, steps=steps)

    return make


def _host(**changes: Any) -> Callable[[], Recording]:
    return lambda: change_trial(cpu_cell(), host=replace(quiet_host(), **changes))


def _samples(metric: str, *values: float) -> Callable[[], Recording]:
    """The device gave these values of one metric during the steps and dwells."""

    def make() -> Recording:
        made = accelerator()
        samples = made.trials[0].samples
        first = made.trials[0].steps[0].started_at_s
        series = SampleSeries(
            metric=metric,
            source="s",
            at_s=tuple(first + 0.01 * n for n in range(len(values))),
            value=values,
        )
        kept = tuple(s for s in samples.series if s.metric != metric)
        return change_trial(made, samples=replace(samples, series=(*kept, series)))

    return make


def _spec(**changes: Any) -> Callable[[], Recording]:
    return lambda: replace(cpu_fused(), spec=spec(**changes))


def _padded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(replace(step, padded_positions=300) for step in steps)


def _curved() -> Recording:
    made = cpu_fused()
    sweep = tuple(replace(p, forward_s=1e-6 * p.timesteps**2) for p in made.trials[0].sweep)
    return change_trial(made, sweep=sweep)


def _cut_dwell() -> Recording:
    made = accelerator()
    dwells = made.trials[0].dwells
    cut = replace(dwells[1], reason="backward cannot be repeated alone: freed")
    return change_trial(made, dwells=(dwells[0], cut))


def sliced(times: int) -> OperationCount:
    return OperationCount(
        phase="backward", name="aten::slice_backward", calls=times, sliced=times, sliced_bytes=2**26
    )


PLANTED: dict[str, tuple[Callable[[], Recording], str]] = {
    "high_variation": (_scaled(lambda n: 1.5 if n % 4 < 2 else 1.0), "coefficient"),
    "drift": (_scaled(lambda n: 1.0 + 0.01 * n), "last third"),
    "warmup_not_over": (
        lambda: change_trial(_scaled(lambda n: 1.5 if n < 2 else 1.0)(), warmup_wall_s=(9.0, 0.3)),
        "warm-up step",
    ),
    "involuntary_switches": (_host(involuntary_switches=4000), "4000 involuntary"),
    "steal": (_host(steal_s=0.9), "0.90 s stolen"),
    "other_load": (_host(machine_busy_s=15.5), "cores busy with others"),
    "coarse_cpu_clock": (
        lambda: change_trial(cpu_cell(), cpu_clock="process"),
        "below 100 ms: data, forward, loss, backward, optimizer",
    ),
    "threads": (
        lambda: replace(cpu_cell(), environment=environment(threads=8)),
        "8 threads on 2 cores",
    ),
    "throttling": (_samples("clock_event_reasons", 0.0, 0x24, 4.0), "power cap"),
    "clock_changed": (_samples("sm_clock_hz", 1.98e9, 1.2e9), "1980 MHz, then 1200 MHz"),
    "other_processes": (
        lambda: change_trial(
            accelerator(), samples=replace(accelerator().trials[0].samples, other_processes=2)
        ),
        "2 besides this one",
    ),
    "perturbation": (
        lambda: change_trial(cpu_cell(), steps=pairs(CPU_PHASES, perturbation=0.05)),
        "against 1.0%",
    ),
    "stride": (
        lambda: change_trial(cpu_cell(), steps=pairs(CPU_PHASES, stride=8)),
        "every 8th timestep",
    ),
    "coarse_timer": (lambda: replace(cpu_cell(), timer_resolution_s=1e-4), "100000 ns"),
    "mark_cost": (lambda: change_trial(cpu_cell(), mark_cost_s=2e-4), "half"),
    "not_linear": (_curved, "from the line"),
    "launch_bound": (accelerator, "host 130 µs against device"),
    "no_accelerator": (cpu_cell, "AMD EPYC"),
    "kernel_path": (cpu_fused, "called mkldnn_rnn_layer"),
    "one_call": (cpu_fused, "called mkldnn_rnn_layer"),
    "sliced_sequence": (
        lambda: change_trial(cpu_cell(), operations=(sliced(64),)),
        "slice_backward ran 64 times at T = 64",
    ),
    "unflattened_weights": (
        lambda: change_trial(cpu_fused(), unflattened=("body.layers",)),
        "the first is 'body.layers'",
    ),
    "padding": (
        lambda: change_trial(cpu_cell(), steps=_padded(cpu_cell().trials[0].steps)),
        "29% of the computed",
    ),
    "packed": (_spec(data__lengths__layout="packed"), "a step computes 1,024 timesteps"),
    "few_pairs": (lambda: change_trial(cpu_cell(), steps=pairs(CPU_PHASES, count=5)), "5 bare"),
    "dwell_failed": (_cut_dwell, "backward cannot be repeated"),
    "mig": (
        lambda: change_trial(
            accelerator(), samples=replace(accelerator().trials[0].samples, mig=True)
        ),
        "H100",
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_it_speaks_when_planted(kind: str) -> None:
    make, evidence = PLANTED[kind]
    found = caveats(make())
    assert kind in found
    assert evidence in found[kind].evidence
    assert found[kind].text
    assert found[kind].remedy


#: What an undisturbed recording has to say all the same.
CALM = {
    cpu_cell: {"no_accelerator"},
    cpu_fused: {"no_accelerator", "kernel_path", "one_call"},
    accelerator: {"launch_bound"},
}


@pytest.mark.parametrize("make", CALM)
def test_it_is_silent_when_absent(make: Callable[[], Recording]) -> None:
    assert set(caveats(make())) == CALM[make]


@pytest.mark.parametrize("kind", INCIDENTS)
def test_every_incident_is_told_with_its_detail(kind: str) -> None:
    incident = Incident(kind=kind, detail="this is what happened", at_s=1.25)
    found = caveats(change_trial(cpu_cell(), incidents=(incident, incident)))
    assert found[kind].evidence == "this is what happened (at 1.2 s) (2 times)"


def test_an_incident_of_a_later_program_is_told_too() -> None:
    incident = Incident(kind="moon_too_full", detail="it shone")
    found = caveats(change_trial(cpu_cell(), incidents=(incident,)))
    assert found["moon_too_full"].text == "Moon too full"
    assert found["moon_too_full"].evidence == "it shone"
    assert found["moon_too_full"].severity == "warning"


def test_the_gravest_come_first() -> None:
    made = change_trial(
        cpu_cell(),
        host=replace(quiet_host(), steal_s=1.0),
        incidents=(Incident(kind="gpu_lost", detail="Xid 79"),),
    )
    severities = [caveat.severity for caveat in summarise(made).caveats]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert severities[0] == "error"


@pytest.mark.parametrize(
    ("counted", "path"),
    [
        (operations("mkldnn_rnn_layer"), "nn.LSTM runs as one fused primitive (mkldnn_rnn_layer)"),
        (operations("addmm", 512), "nn.LSTM runs as a loop over timesteps inside torch"),
        (operations("addmm", 12), None),
        ((), None),
    ],
)
def test_the_kernel_path_on_the_processor_is_what_was_dispatched(
    counted: tuple[OperationCount, ...], path: str | None
) -> None:
    found = caveats(change_trial(cpu_fused(), operations=counted))
    assert ("kernel_path" in found) == (path is not None)
    assert path is None or path in found["kernel_path"].text


def test_the_layer_is_named_as_it_is() -> None:
    projected = replace(cpu_fused(), spec=spec(model__projection=64))
    assert "nn.LSTM with a projection runs" in caveats(projected)["kernel_path"].text
    packed = replace(cpu_fused(), spec=spec(data__lengths__layout="packed"))
    assert "nn.LSTM on packed sequences runs" in caveats(packed)["kernel_path"].text


def test_one_call_is_said_of_any_model_whose_fused_operator_was_seen() -> None:
    own = change_trial(
        cpu_fused(), workload=workload(family=None, execution=None, model="mine:Model")
    )
    assert "nn.LSTMCell" in caveats(own)["one_call"].remedy
    assert "one_call" not in caveats(change_trial(own, operations=operations("addmm", 512)))


def test_an_idle_device_that_clocks_down_before_the_steps_is_no_caveat() -> None:
    made = _samples("sm_clock_hz", 1.98e9, 1.98e9)()
    samples = made.trials[0].samples
    asleep = SampleSeries(
        metric="sm_clock_hz", source="s", at_s=(0.1, *(4.0, 6.0)), value=(3.45e8, 1.98e9, 1.98e9)
    )
    kept = tuple(s for s in samples.series if s.metric != "sm_clock_hz")
    made = change_trial(made, samples=replace(samples, series=(*kept, asleep)))
    assert "clock_changed" not in caveats(made)


@pytest.mark.parametrize("name", ALL)
def test_every_caveat_is_complete(name: str) -> None:
    for caveat in summarise(ALL[name]()).caveats:
        assert caveat.text
        assert caveat.evidence
        assert caveat.remedy
