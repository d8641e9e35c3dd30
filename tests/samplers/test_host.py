"""The host's load: against what the test itself does to the machine."""

import subprocess
import sys
import threading
import time

import pytest

from seqprof.samplers.host import HostMeter


def spin(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def test_counts_the_cpu_time_of_all_threads() -> None:
    meter = HostMeter()
    meter.start()
    wall, cpu = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=spin, args=(0.1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load = meter.stop()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    assert load.process_cpu_s >= 0.2
    assert load.process_cpu_s == pytest.approx(cpu, rel=0.1)
    assert load.window_s >= wall * 0.99
    assert load.machine_busy_s is not None
    # The system counts in ticks of 10 ms; other processes can only add to ours.
    assert load.machine_busy_s > load.process_cpu_s - 0.05
    assert load.involuntary_switches is not None
    assert load.involuntary_switches >= 0
    assert load.steal_s is None or load.steal_s >= 0
    assert load.load_average_1m is not None


#: A child that spends 0.4 s of processor time, says so, and waits to be ended.
CHILD = """
import sys, time
while time.process_time() < 0.4:
    pass
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "alive"])
def test_processes_that_this_one_started_are_no_other_programs(ended: bool) -> None:
    meter = HostMeter()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        if ended:
            child.communicate()
        load = meter.stop()
    assert load.children_cpu_s is not None
    assert load.machine_busy_s is not None
    assert load.others_s is not None
    assert 0.35 <= load.children_cpu_s < 5.0
    # The machine's counter may be a tick behind.
    assert load.others_s <= max(0.0, load.machine_busy_s - load.children_cpu_s)


def test_starting_anew_forgets_what_was_before() -> None:
    meter = HostMeter()
    spin(0.1)
    meter.start()
    assert meter.stop().process_cpu_s < 0.1


def test_an_unreadable_proc_gives_null(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def refuse() -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    load = HostMeter().stop()
    assert load.machine_busy_s is None
    assert load.steal_s is None
    assert load.process_cpu_s >= 0
