"""An unmodified script on the simulated accelerator, whose busy intervals are known."""

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from attach_scripts import OWN, final_loss
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of, needs_its_kernels

from seqprof import store
from seqprof.analysis.run.idle import PhaseIdle
from seqprof.analysis.run.summary import summarise
from seqprof.recording import Recording, Trial

pytestmark = [pytest.mark.sim, pytest.mark.timing]

STEPS = 40
#: Phases whose kernels take long enough for three points to be more than one of them.
LONG = ("forward", "backward")
POINTS = 0.03


@dataclass(frozen=True)
class OnAccelerator:
    """A watched run, what the script printed, and the kernels that really ran.

    ``launches``: per step, how many kernels had been launched at the end of each phase;
    ``timesteps``: and at the beginning of each timestep of the forward.
    """

    recording: Recording
    losses: tuple[str, str]
    busy: list[truth.Interval]
    launches: list[dict[str, int]]
    timesteps: list[list[int]]

    @property
    def trial(self) -> Trial:
        return self.recording.trials[0]

    def steps(self, kind: str) -> list[int]:
        assert self.trial.loop is not None
        return [i.index for i in self.trial.loop.iterations if i.kind == kind and i.finished]

    def window(self, step: int, phase: str) -> tuple[int, int]:
        """(length, busy) in ns: from the last kernel of the phases before to that of this one."""
        phases = list(self.launches[step])
        at = phases.index(phase)
        before = self.launches[step][phases[at - 1]]
        inside = self.busy[before : self.launches[step][phase]]
        start, end = self.busy[before - 1][1], inside[-1][1]
        return end - start, truth.busy_ns(inside, start, end)

    def idle(self, phase: str) -> PhaseIdle:
        idle = summarise(self.recording).idle
        return next(entry for entry in idle if entry.phase == phase)


@pytest.fixture(scope="module")
def on_accelerator(
    sim_env: SimEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> OnAccelerator:
    folder = tmp_path_factory.mktemp("accelerated")
    env = sim_env(SIM_MIN_KERNEL_US=200, OMP_NUM_THREADS=1, STEPS=STEPS)
    out, launches = folder / "run.json", folder / "launches.json"
    script = [sys.executable, "accelerated.py"]
    watched = subprocess.run(
        [sys.executable, "-m", "seqprof", "exec", "--steps", "24", "-o", str(out), "--", *script],
        env={**env, "LAUNCHES": str(launches)},
        cwd=OWN, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert watched.returncode == 0, watched.stderr
    busy = truth.intervals(log_of(env))
    alone = subprocess.run(
        script, env=sim_env(OMP_NUM_THREADS=1, STEPS=STEPS), cwd=OWN,
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    noted = json.loads(launches.read_text())
    return OnAccelerator(
        recording=store.load(out),
        losses=(final_loss(watched.stdout), final_loss(alone.stdout)),
        busy=busy,
        launches=noted["phases"],
        timesteps=noted["timesteps"],
    )


@needs_its_kernels
def test_nothing_of_the_profiler_is_left_after_the_window(
    sim_env: SimEnvironment, tmp_path: Path
) -> None:
    """A launch under the profiler costs 1 ms; what records kernels would go on to take it."""
    out, noted = tmp_path / "run.json", tmp_path / "noted.json"
    env = sim_env(SIM_PROFILER_US=1000, OMP_NUM_THREADS=1, STEPS=24, LAUNCHES=noted)
    command = ["exec", "--steps", "8", "-o", str(out), "--", sys.executable, "accelerated.py"]
    subprocess.run(
        [sys.executable, "-m", "seqprof", *command], env=env, cwd=OWN, timeout=300, check=True
    )
    steps_s = json.loads(noted.read_text())["steps_s"]
    loop = store.load(out).trials[0].loop
    assert loop is not None
    kinds = {i.index: i.kind for i in loop.iterations if i.finished}
    bounded = median(steps_s[i] for i, kind in kinds.items() if kind == "bounded")
    profiled = median(steps_s[i] for i in list(kinds)[-3:])
    after = median(steps_s[max(kinds) + 2 :])
    assert profiled > 2 * bounded
    assert after < 0.5 * profiled


def test_a_script_on_the_accelerator(on_accelerator: OnAccelerator) -> None:
    trial = on_accelerator.trial
    assert on_accelerator.losses[0] == on_accelerator.losses[1]
    assert trial.loop is not None
    assert on_accelerator.recording.environment.device.kind == "sim"
    assert trial.loop.timestep_modules == ("cell",)
    # Ten sleeps of a millisecond lie in each forward, and nowhere else.
    assert all(iteration.phases_s["forward"] > 0.010 for iteration in trial.loop.iterations)
    assert not any(sentence.startswith("device time") for sentence in trial.loop.unknown)
    assert trial.samples.series or trial.samples.reason


@pytest.mark.parametrize("phase", LONG)
def test_device_time_of_a_phase(on_accelerator: OnAccelerator, phase: str) -> None:
    metered = [step for step in on_accelerator.trial.steps if step.kind == "metered"]
    timed = [step.phases[phase].device_s or 0.0 for step in metered]
    real = [on_accelerator.window(i, phase)[0] * 1e-9 for i in on_accelerator.steps("metered")]
    assert median(timed) == pytest.approx(median(real), rel=0.05)


def test_device_time_of_a_timestep(on_accelerator: OnAccelerator) -> None:
    """From its first kernel to that of the next, by the log of the device."""
    starts = [start for start, _ in on_accelerator.busy]
    real = [
        (starts[after] - starts[at]) * 1e-9
        for i in on_accelerator.steps("probed")
        for at, after in pairwise(on_accelerator.timesteps[i])
    ]
    [rows] = [
        samples.rows
        for samples in on_accelerator.trial.timestep_samples
        if (samples.phase, samples.clock) == ("forward", "device")
    ]
    timed = [value for row in rows for value in row[:-1] if value is not None]
    assert median(timed) == pytest.approx(median(real), rel=0.05)


def test_device_time_of_the_loops(on_accelerator: OnAccelerator) -> None:
    probed = [step for step in on_accelerator.trial.steps if step.kind == "probed"]
    for phase in LONG:
        real = [on_accelerator.window(i, phase)[0] * 1e-9 for i in on_accelerator.steps("probed")]
        timed = [t.device_s or 0.0 for s in probed for t in s.loops if t.phase == phase]
        assert 0.5 * median(real) < median(timed) < 1.05 * median(real)


@needs_its_kernels
@pytest.mark.parametrize("phase", LONG)
def test_idle_of_a_phase(on_accelerator: OnAccelerator, phase: str) -> None:
    """In steps that nothing profiles, by the log of the device."""
    windows = [on_accelerator.window(i, phase) for i in on_accelerator.steps("metered")]
    real = 1.0 - median(busy / length for length, busy in windows)
    # The kernels are timed in other steps than these. On a busy machine they themselves take longer
    # in some: by how much, the log says as well.
    profiled = [on_accelerator.window(i, phase)[1] for i in on_accelerator.steps("profiled")[-3:]]
    drift = abs(sum(profiled) / 3 - median(busy for _, busy in windows)) / median(
        length for length, _ in windows
    )
    busy = on_accelerator.idle(phase).busy_fraction.value
    assert busy is not None
    assert 1.0 - busy == pytest.approx(real, abs=POINTS + drift)


@needs_its_kernels
@pytest.mark.parametrize("phase", LONG)
def test_the_kernel_timeline_is_that_of_the_device(
    on_accelerator: OnAccelerator, phase: str
) -> None:
    profile = on_accelerator.trial.profile
    assert profile is not None
    assert profile.steps == 3
    windows = [on_accelerator.window(i, phase) for i in on_accelerator.steps("profiled")[-3:]]
    length, busy = (sum(column) / 3e9 for column in zip(*windows, strict=True))
    part = next(part for part in profile.phases if part.phase == phase)
    assert part.window_s == pytest.approx(length, rel=0.02)
    assert part.idle_s / part.window_s == pytest.approx(1 - busy / length, abs=0.01)


@needs_its_kernels
def test_the_cause_of_idle_in_the_forward_is_the_host(on_accelerator: OnAccelerator) -> None:
    profile = on_accelerator.trial.profile
    assert profile is not None
    forward = next(part for part in profile.phases if part.phase == "forward")
    assert forward.idle_by_cause_s["launch"] > 0.9 * forward.idle_s
