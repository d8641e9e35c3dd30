"""The simulated accelerator itself: is it asynchronous, is it right, and does NVML tell the truth?

Each test is one subprocess (two where a monitor is wanted), because the device must not be loaded
here. The scripts check on the inside what needs the device, and print what is checked here.
"""

import itertools
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of, needs_its_kernels

pytestmark = pytest.mark.sim


def run(script: str, env: dict[str, str]) -> Any:
    """What the script printed in its last line, as JSON."""
    code = textwrap.dedent(script)
    result = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


ASYNCHRONY = """
    import json, time
    import torch

    clock = time.monotonic_ns
    accelerator = torch.accelerator
    assert accelerator.current_accelerator().type == "sim"
    assert accelerator.device_count() == 2

    def kernels(x, count):
        for _ in range(count):
            x.add_(1)

    x, y = torch.zeros(4, device="sim"), torch.zeros(4, device="sim")
    accelerator.synchronize()

    # A launch returns long before the kernel has run.
    start = clock()
    kernels(x, 20)
    launched = clock()
    accelerator.synchronize()
    synchronized = clock()

    # Two streams overlap.
    other = torch.Stream("sim")
    two_start = clock()
    with other:
        kernels(y, 20)
    kernels(x, 20)
    accelerator.synchronize()
    two_end = clock()

    # Events are marks in the stream, reached after the kernels before them.
    first, last = (torch.Event("sim", enable_timing=True) for _ in range(2))
    first.record()
    kernels(x, 20)
    last.record()
    reached_at_once = last.query()
    last.synchronize()

    # Another stream waits for an event without the host waiting.
    done = torch.Event("sim")
    kernels(x, 20)
    done.record()
    other.wait_event(done)
    with other:
        copied = x.clone()
    waited = x.tolist() == copied.tolist() == [80.0] * 4 and y.tolist() == [20.0] * 4

    print(json.dumps({
        "launch_share": (launched - start) / (synchronized - start),
        "one": [start, synchronized],
        "two": [two_start, two_end],
        "elapsed_ms": first.elapsed_time(last),
        "reached_at_once": reached_at_once,
        "waited": waited,
    }))
"""


def test_launches_return_at_once_streams_overlap_and_events_carry_stream_time(
    sim_env: SimEnvironment,
) -> None:
    kernel_us = 10_000
    env = sim_env(SIM_MIN_KERNEL_US=kernel_us)
    seen = run(ASYNCHRONY, env)
    busy = truth.intervals(log_of(env))

    assert seen["launch_share"] < 0.5
    assert not seen["reached_at_once"]
    assert seen["waited"]
    assert seen["elapsed_ms"] >= 20 * kernel_us / 1000  # a kernel never takes less

    def sum_and_union(window: list[int]) -> tuple[int, int]:
        start, end = window
        inside = [(max(a, start), min(b, end)) for a, b in busy if a < end and b > start]
        return sum(b - a for a, b in inside), truth.busy_ns(busy, start, end)

    one_sum, one_union = sum_and_union(seen["one"])
    two_sum, two_union = sum_and_union(seen["two"])
    assert one_sum == one_union  # the kernels of one stream never overlap
    assert two_sum > 1.5 * two_union


QUEUE = """
    import json, time
    import torch
    from torch.profiler import ProfilerActivity, profile

    x = torch.zeros(4, device="sim")
    torch.accelerator.synchronize()

    def launches(count):
        start = time.monotonic_ns()
        for _ in range(count):
            x.add_(1)
        return (time.monotonic_ns() - start) / 1e6

    seen = {"short": launches(8)}
    torch.accelerator.synchronize()
    seen["long"] = launches(108)
    torch.accelerator.synchronize()
    torch.sim.set_min_kernel_us(0)
    bare = launches(50)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1], acc_events=True):
        seen["slower"] = launches(50) - bare
    print(json.dumps(seen))
"""


def test_a_full_queue_holds_the_host_up(sim_env: SimEnvironment) -> None:
    seen = run(QUEUE, sim_env(SIM_MIN_KERNEL_US=2000, SIM_QUEUE=10))
    assert seen["long"] >= 90 * 2.0 > 4 * seen["short"]  # 98 of 108 kernels of 2 ms were waited for


@needs_its_kernels
def test_a_profiler_holds_the_host_up(sim_env: SimEnvironment) -> None:
    assert run(QUEUE, sim_env(SIM_PROFILER_US=300))["slower"] >= 50 * 0.3


GRADIENTS = """
    import copy, json
    import torch
    from torch import nn

    class Cells(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.cell = kind(8, 8)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return state[0] if isinstance(state, tuple) else state

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)  # a wrong formula differs by more than rounding
    models = {
        "LSTMCell": Cells(nn.LSTMCell),
        "GRUCell": Cells(nn.GRUCell),
        "LSTM": nn.LSTM(8, 8, num_layers=2, batch_first=True),
        "GRU": nn.GRU(8, 8, batch_first=True, bidirectional=True),
        "RNN": nn.RNN(8, 8, batch_first=True),
        "Transformer": nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
        "Conv1d": nn.Conv1d(5, 8, 3),
    }

    def gradients(model, x):
        x = x.clone().requires_grad_()
        output = model(x)
        output = output[0] if isinstance(output, tuple) else output
        output.square().sum().backward()
        return [x.grad, *(p.grad for p in model.parameters())]

    def worst(model):
        x = torch.randn(3, 5, 8)
        on_cpu = gradients(copy.deepcopy(model), x)
        on_sim = gradients(model.to("sim"), x.to("sim"))
        assert all(g.device.type == "sim" for g in on_sim)
        pairs = zip(on_cpu, on_sim, strict=True)
        return max(float((a - b.cpu()).abs().max() / (1 + a.abs().max())) for a, b in pairs)

    print(json.dumps({name: worst(model) for name, model in models.items()}))
"""


def test_gradients_are_those_of_the_cpu(sim_env: SimEnvironment) -> None:
    differences = run(GRADIENTS, sim_env())
    assert len(differences) == 7
    assert max(differences.values()) < 1e-9, differences


ERRORS = """
    import json
    import torch

    seen = {}
    small = torch.zeros(1024, device="sim")
    try:
        torch.empty(64 << 20, device="sim")
    except torch.OutOfMemoryError as error:
        seen["out_of_memory"] = str(error)
    seen["allocated"] = torch.accelerator.memory_allocated()

    for number in range(40):
        small.add_(1)  # one of these fails, and none of them says so
    seen["launched"] = True
    for attempt in ("first", "second"):
        try:
            torch.accelerator.synchronize()
        except RuntimeError as error:
            seen[attempt] = str(error)
    try:
        small[0].item()
    except RuntimeError as error:
        seen["item"] = str(error)
    print(json.dumps(seen))
"""


def test_memory_runs_out_and_a_kernel_error_surfaces_late(sim_env: SimEnvironment) -> None:
    seen = run(ERRORS, sim_env(SIM_MEM_MB=16, SIM_KERNEL_ERROR_AFTER=20))
    assert "out of memory" in seen["out_of_memory"]
    assert seen["allocated"] == 4096
    assert seen["launched"]
    for when in ("first", "second", "item"):  # the device is lost for good
        assert "device-side assert" in seen[when]


# Keeps the device about half busy until it is told to stop.
TRAINER = """
    import sys, threading, time
    import torch

    x = torch.zeros(4096, device="sim")
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    torch.accelerator.synchronize()
    print("ready", flush=True)
    while not stop.is_set():
        x.add_(1)
        torch.accelerator.synchronize()
        time.sleep(0.01)
"""

# Reads everything, with the window in which it held.
MONITOR = """
    import json, time
    import pynvml as nv

    nv.nvmlInit()
    assert nv.nvmlDeviceGetCount() == 2
    idle, busy = nv.nvmlDeviceGetHandleByIndex(1), nv.nvmlDeviceGetHandleByIndex(0)
    assert nv.nvmlDeviceGetUUID(busy) == "GPU-5eb9f000-0000-4000-8000-000000000000"
    window = 100_000_000

    # What was read, and the end of the window that it certainly belongs to.
    def settled(read):
        while True:
            end = time.monotonic_ns() // window * window
            value = read()
            if time.monotonic_ns() < end + window:
                return end, value

    def gpu_percent():
        return nv.nvmlDeviceGetUtilizationRates(busy).gpu

    def gpm_sample():
        sample = nv.nvmlGpmSampleAlloc()
        nv.nvmlGpmSampleGet(busy, sample)
        return sample

    assert nv.nvmlGpmQueryDeviceSupport(busy).isSupportedDevice
    energy = nv.nvmlDeviceGetTotalEnergyConsumption(busy)
    start, first = settled(gpm_sample)
    read = []
    for _ in range(8):
        read.append(settled(gpu_percent))
        time.sleep(0.1)
    end, second = settled(gpm_sample)

    request = nv.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = nv.NVML_GPM_METRICS_GET_VERSION, 1
    request.sample1, request.sample2 = first, second
    request.metrics[0].metricId = nv.NVML_GPM_METRIC_GRAPHICS_UTIL
    nv.nvmlGpmMetricsGet(request)

    _, samples = nv.nvmlDeviceGetSamples(busy, nv.NVML_GPU_UTILIZATION_SAMPLES, 0)
    stamps = [sample.timeStamp * 1000 for sample in samples]
    try:
        later = nv.nvmlDeviceGetSamples(
            busy, nv.NVML_GPU_UTILIZATION_SAMPLES, samples[-1].timeStamp)[1]
    except nv.NVMLError_NotFound:
        later = []
    print(json.dumps({
        "rates": read,
        "samples": [[at, sample.sampleValue.uiVal] for at, sample in zip(stamps, samples)],
        "later": [sample.timeStamp * 1000 for sample in later],
        "idle": nv.nvmlDeviceGetUtilizationRates(idle).gpu,
        "gpm": [start, end, request.metrics[0].value],
        "joules": (nv.nvmlDeviceGetTotalEnergyConsumption(busy) - energy) / 1000,
        "watts": [nv.nvmlDeviceGetPowerUsage(d) / 1000 for d in (idle, busy)],
        "memory": nv.nvmlDeviceGetMemoryInfo(busy).used - nv.nvmlDeviceGetMemoryInfo(idle).used,
    }))
"""


@pytest.fixture(scope="module")
def monitored(sim_env: SimEnvironment) -> tuple[Any, list[truth.Interval]]:
    """What a monitor in a process of its own read of a training process, and what was true."""
    env = sim_env(
        SIM_MIN_KERNEL_US=10_000,
        NVMLSTUB_PERIOD_US=100_000,
        NVMLSTUB_SAMPLE_US=50_000,
        NVMLSTUB_TS_BOOT=1,
    )
    command = [sys.executable, "-c", textwrap.dedent(TRAINER)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "ready\n"
        seen = run(MONITOR, env)
        trainer.communicate("stop\n")
    assert trainer.returncode == 0
    return seen, truth.intervals(log_of(env))


def test_nvml_tells_the_truth(monitored: tuple[Any, list[truth.Interval]]) -> None:
    seen, busy = monitored

    def percent(start: int, end: int) -> float:
        return 100 * truth.busy_ns(busy, start, end) / (end - start)

    for end, gpu in seen["rates"]:
        assert gpu == pytest.approx(percent(end - 100_000_000, end), abs=0.6)  # a whole number
    stamps = [at for at, _ in seen["samples"]]
    assert len(stamps) >= 10
    assert {b - a for a, b in itertools.pairwise(stamps)} == {50_000_000}
    assert all(at > stamps[-1] for at in seen["later"])
    for end, gpu in seen["samples"]:
        assert gpu == pytest.approx(percent(end - 50_000_000, end), abs=0.6)
    assert seen["idle"] == 0
    start, end, gpm = seen["gpm"]
    assert gpm == pytest.approx(percent(start, end), abs=0.1)
    assert seen["joules"] > 0
    assert seen["watts"][0] < seen["watts"][1]
    assert seen["memory"] == 4 * 4096


FAULTS = """
    import json
    import pynvml as nv

    nv.nvmlInit()
    device = nv.nvmlDeviceGetHandleByIndex(0)

    def code(function, *arguments):
        try:
            function(*arguments)
        except nv.NVMLError as error:
            return error.value
        return 0

    print(json.dumps({
        "power": code(nv.nvmlDeviceGetPowerUsage, device),
        "rates": [code(nv.nvmlDeviceGetUtilizationRates, device) for _ in range(5)],
        "count": code(nv.nvmlDeviceGetCount),
        "samples": code(nv.nvmlDeviceGetSamples, device, nv.NVML_GPU_UTILIZATION_SAMPLES, 0),
        "gpm": nv.nvmlGpmQueryDeviceSupport(device).isSupportedDevice,
        "mig": nv.nvmlDeviceGetMigMode(device),
    }))
"""


def test_nvml_fails_by_code_and_after_some_calls(sim_env: SimEnvironment) -> None:
    fault = "nvmlDeviceGetUtilizationRates:15:3;nvmlDeviceGetPowerUsage:4"
    seen = run(FAULTS, sim_env(SIMACCEL=None, NVMLSTUB_FAULT=fault))
    assert seen["power"] == 4
    assert seen["rates"] == [0, 0, 0, 15, 15]
    assert seen["count"] == 0
    assert seen["gpm"] == 1


def test_mig_has_no_utilization(sim_env: SimEnvironment) -> None:
    seen = run(FAULTS, sim_env(SIMACCEL=None, NVMLSTUB_MIG=1, NVMLSTUB_GPM=0))
    assert seen["mig"] == [1, 1]
    assert seen["rates"] == [3] * 5
    assert seen["samples"] == 3
    assert seen["gpm"] == 0


HANGING = """
    import pynvml as nv

    nv.nvmlInit()
    device = nv.nvmlDeviceGetHandleByIndex(0)
    for call in range(9):
        print(call, flush=True)
        nv.nvmlDeviceGetUtilizationRates(device)
"""


def test_a_call_that_hangs_leaves_the_process_killable(sim_env: SimEnvironment) -> None:
    env = sim_env(SIMACCEL=None, NVMLSTUB_FAULT="nvmlDeviceGetUtilizationRates:hang:5")
    command = [sys.executable, "-c", textwrap.dedent(HANGING)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(6)] == [f"{n}\n" for n in range(6)]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.stdout.read() == ""
    assert process.returncode == -signal.SIGTERM


PHASES = """
    import json, time
    import torch
    from simaccel.models import lstm_cell_loop

    model = lstm_cell_loop().to("sim")
    tokens = torch.randint(0, 64, (8, 16), device="sim")

    def now():
        torch.accelerator.synchronize()
        return time.monotonic_ns()

    windows = []
    for _ in range(4):
        start = now()
        logits = model(tokens)
        middle = now()
        logits.square().sum().backward()
        windows.append([start, middle, now()])
    assert logits.shape == (8, 16, 64)
    print(json.dumps(windows[1:]))
"""


def test_the_loop_model_idles_in_forward_and_not_in_backward(sim_env: SimEnvironment) -> None:
    env = sim_env(SIM_MIN_KERNEL_US=150)
    windows = run(PHASES, env)
    busy = truth.intervals(log_of(env))
    for start, middle, end in windows:
        forward = truth.busy_ns(busy, start, middle) / (middle - start)
        backward = truth.busy_ns(busy, middle, end) / (end - middle)
        assert forward < 0.7 * backward


def test_truth_measures_unions_and_refuses_what_is_no_log(tmp_path: Path) -> None:
    busy = [(10, 20), (12, 14), (15, 30), (40, 50)]
    assert truth.busy_ns(busy, 0, 100) == 30
    assert truth.busy_ns(busy, 13, 45) == 22
    assert truth.busy_ns(busy, 30, 40) == 0
    assert truth.busy_ns([], 0, 10) == 0
    (tmp_path / "other").write_bytes(b"\0" * 64)
    with pytest.raises(truth.LogError):
        truth.intervals(tmp_path / "other")


def test_the_simulation_stays_out_of_this_process(sim_env: SimEnvironment) -> None:
    sim_env()
    import torch

    assert not hasattr(torch, "sim")
