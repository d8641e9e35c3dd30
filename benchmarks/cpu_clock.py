"""How far the process's CPU clock is off for phases of a millisecond, and each thread's clock.

Two phases alternate, a matrix product on two threads and a loop of Python on one. The CPU
time of the second, whatever the first one's other thread still spends spinning, cannot pass its
wall time times the number of threads; both clocks are read around the same phases.

    python benchmarks/cpu_clock.py
"""

from __future__ import annotations

from time import perf_counter_ns, process_time_ns

import numpy as np
import torch

from seqprof.instruments.clocks import CpuClock

PHASES = 500
THREADS = 2


def spin() -> None:
    """A loop of Python for 0.8 ms."""
    end = perf_counter_ns() + 800_000
    while perf_counter_ns() < end:
        pass


def main() -> None:
    """Print the spread of CPU time over wall time and threads, by either clock."""
    torch.set_num_threads(THREADS)
    matrix = torch.randn(300, 300)
    for _ in range(10):
        matrix @ matrix
    clock = CpuClock()
    clock.find_threads()
    by_process, by_threads = [], []
    for _ in range(PHASES):
        for _ in range(3):
            matrix @ matrix
        start_ns, process, threads = perf_counter_ns(), process_time_ns(), clock.read()
        spin()
        used, used_process = clock.nanoseconds(threads, clock.read()), process_time_ns() - process
        wall = (perf_counter_ns() - start_ns) * THREADS
        by_process.append(used_process / wall)
        by_threads.append(used / wall)
    for name, ratios in (("process's clock", by_process), ("threads' clocks", by_threads)):
        low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
        print(f"{name}: median {middle:.2f}, 5 to 95 % {low:.2f} to {high:.2f}, "
              f"largest {max(ratios):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
