"""CPU time of short phases while another thread works."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from time import perf_counter_ns, process_time_ns

import pytest

from seqprof.instruments import clocks
from seqprof.instruments.clocks import CpuClock


@pytest.fixture
def worker() -> Iterator[threading.Thread]:
    """A thread that works without the interpreter's lock until the test has ended."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 10_000)

    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    ended.set()
    thread.join()


def spin(ns: int) -> None:
    end = perf_counter_ns() + ns
    while perf_counter_ns() < end:
        pass


def test_a_short_phase_has_no_more_cpu_time_than_there_were_threads(
    worker: threading.Thread,
) -> None:
    clock = CpuClock()
    clock.find_threads()
    assert clock.exact
    running, ratios, total = threading.active_count(), [], 0
    whole = process_time_ns()
    for _ in range(200):
        start, start_ns = clock.read(), perf_counter_ns()
        spin(800_000)
        used = clock.nanoseconds(start, clock.read())
        ratios.append(used / (perf_counter_ns() - start_ns))
        total += used
    whole = process_time_ns() - whole
    # The process's own clock gives a tenth of such phases twice that and more.
    assert sorted(ratios)[190] <= 1.05 * running
    assert total == pytest.approx(whole, rel=0.1)


def test_a_thread_that_ends_takes_nothing_away() -> None:
    clock, ended = CpuClock(), threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    clock.find_threads()
    start = clock.read()
    ended.set()
    thread.join()
    spin(1_000_000)
    assert clock.nanoseconds(start, clock.read()) > 0


def test_of_many_threads_the_processs_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "MOST_THREAD_CLOCKS", 0)
    clock = CpuClock()
    clock.find_threads()
    assert not clock.exact
    start = clock.read()
    spin(30_000_000)
    assert clock.nanoseconds(start, clock.read()) > 0
