"""Replaying what a sampler wrote: a recorded file, and records made up for what it must decide."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.run.dwell import fresh_samples
from seqprof.recording import SampleSeries
from seqprof.samplers.records import (
    DeviceFacts,
    Failed,
    Hung,
    Processes,
    Reading,
    Record,
    SampleBatch,
    Stopped,
    Writer,
)
from seqprof.samplers.replay import SampleLog, load

#: Written by the sampler process on the simulated NVML library: the device idles, is busy from
#: 0.5 s to 1 s after the origin, half busy (10 ms in 20 ms) to 1.5 s, and idles again.
RECORDED = Path(__file__).parent / "data" / "simulated_gpu.jsonl"
ORIGIN_NS = 3130556572399
MS = 1_000_000
RATES = "nvmlDeviceGetUtilizationRates"


def recorded() -> SampleLog:
    return load(RECORDED, ORIGIN_NS)


def replay(tmp_path: Path, *records: Record) -> SampleLog:
    path = tmp_path / "samples.jsonl"
    with path.open("ab") as file:
        writer = Writer(file.fileno())
        for record in records:
            writer.write(record)
    return load(path)


def facts(mig: bool = False) -> DeviceFacts:
    return DeviceFacts(0, "580.65.06", "13.580.65.06", "simulated", "GPU-x", mig)


def batch(at_ms: int, stamps_ms: list[int], values: list[float]) -> SampleBatch:
    stamps_us = [1000 * stamp for stamp in stamps_ms]
    return SampleBatch("nvmlDeviceGetSamples", "nvml_utilization", at_ms * MS, 0, stamps_us, values)


def only(log: SampleLog) -> SampleSeries:
    (series,) = log.series()
    return series


def test_recorded_utilization_is_what_ran() -> None:
    series = {one.metric: one for one in recorded().series()}
    utilization = series["nvml_utilization"]
    assert utilization.window_s == pytest.approx(1 / 6)  # stamped every 20 ms, which proves nothing
    for start_s, end_s, truth in ((0.5, 1.0, 1.0), (1.0, 1.5, 0.5), (1.5, 1.9, 0.0)):
        # 20 ms to spare at either end: the offset between the clocks is known to that.
        values = fresh_samples(utilization, start_s + 0.02, end_s - 0.02)
        assert len(values) >= 9
        assert set(values.values()) == {truth}
    assert set(series["memory_used_bytes"].value) == {float(1 << 20)}
    assert recorded().incidents() == ()
    assert recorded().ended


def test_recorded_samples_are_strict_json_and_complete() -> None:
    samples = recorded().samples()
    assert samples.reason is None
    assert len(samples.series) == 11
    for line in RECORDED.read_text().splitlines():
        json.loads(line)


@given(st.lists(st.integers(0, RECORDED.stat().st_size), max_size=20))
def test_pieces_of_any_size_give_the_same(cuts: list[int]) -> None:
    data = RECORDED.read_bytes()
    log = SampleLog(ORIGIN_NS)
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        log.feed(data[start:end])
    assert log.samples() == recorded().samples()


@given(st.floats(0, 2), st.floats(0, 2))
def test_counting_agrees_with_the_analysis(start_s: float, length_s: float) -> None:
    """What a dwell waits for is what the analysis will find (but for rounding at the edges)."""
    log = recorded()
    for series in log.series():
        counted = log.fresh_samples(series.metric, start_s, start_s + length_s)
        narrow = len(fresh_samples(series, start_s + 1e-6, start_s + length_s - 1e-6))
        wide = len(fresh_samples(series, start_s - 1e-6, start_s + length_s + 1e-6))
        assert narrow <= counted <= wide


def test_a_line_cut_short_waits_and_a_broken_one_is_told() -> None:
    log = SampleLog(0)
    log.feed(b'{"record":"end","at')
    assert not log.ended
    log.feed(b'_ns":5}\n{"record":"reading","call":3}\nnonsense\n')
    assert log.ended
    (incident,) = log.incidents()
    assert "2 records" in incident.detail


def test_stamps_are_anchored_to_the_batch_that_came_soonest(tmp_path: Path) -> None:
    """Host time is stamp + 1000 ms here; the second batch is read right when its newest comes."""
    log = replay(
        tmp_path,
        facts(),
        batch(1047, [20, 40], [0.1, 0.2]),
        batch(1100, [60, 80, 100], [0.3, 0.4, 0.5]),
        batch(1159, [120, 140], [0.6, 0.7]),
    )
    series = only(log)
    assert series.at_s == pytest.approx([1.02, 1.04, 1.06, 1.08, 1.10, 1.12, 1.14])
    assert series.value == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert series.window_s == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("values", "window_s"),
    [
        ([0.0, 1.0, 1.0, 1.0, 0.0], 1 / 6),  # a device that starts at once
        ([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 0.0], 0.4),  # an average over 0.4 s
        ([0.25, 0.5, 0.75, 1.0], 1 / 6),  # where it began is not known
        ([0.0, 0.5, 0.4, 0.9, 1.0], 1 / 6),  # a fall: it is the work that varies
    ],
)
def test_the_response_to_work_shows_the_window(
    tmp_path: Path, values: list[float], window_s: float
) -> None:
    stamps = [100 * (index + 1) for index in range(len(values))]
    log = replay(tmp_path, facts(), batch(1000, stamps, values))
    assert only(log).window_s == pytest.approx(window_s)


def test_a_clock_that_is_set_meanwhile_places_no_sample(tmp_path: Path) -> None:
    """Stamps of the epoch, and NTP sets it 0.3 s on after the tenth of twenty batches."""
    steady = [batch(100 * n, [100 * n - 7], [0.5]) for n in range(1, 21)]
    step = [batch(100 * n, [100 * n - 7 + (300 if n > 10 else 0)], [0.5]) for n in range(1, 21)]
    assert replay(tmp_path, facts(), *steady).incidents() == ()
    folder = tmp_path / "set"
    folder.mkdir()
    set_on = replay(folder, facts(), *step)
    assert set_on.series() == []
    (incident,) = set_on.incidents()
    assert incident.kind == "clock_set"
    assert "+0.30 s" in incident.detail
    assert "clock" in set_on.samples().absent["nvml_utilization"]


def test_a_call_that_came_back_did_not_hang(tmp_path: Path) -> None:
    log = replay(tmp_path, Hung(0, "nvmlInitWithFlags", 2.1), facts())
    assert log.incidents() == ()


def test_a_stamp_counts_once(tmp_path: Path) -> None:
    log = replay(
        tmp_path, facts(), batch(140, [40, 20], [0.2, 0.1]), batch(160, [40, 60], [0.2, 0.3])
    )
    assert only(log).value == (0.1, 0.2, 0.3)


def test_what_was_buffered_before_the_start_is_left_out(tmp_path: Path) -> None:
    begin = DeviceFacts(100 * MS, None, None, None, None, None)
    log = replay(tmp_path, begin, batch(121, [80, 100, 120], [0.1, 0.2, 0.3]))
    assert only(log).value == (0.2, 0.3)


@pytest.mark.parametrize(
    ("readings", "kept"),
    [
        ([(0, 0.5), (50, 0.5), (100, 0.5)], [0]),  # may be one and the same value of the driver
        ([(0, 0.5), (50, 0.5), (100, 0.6)], [0, 100]),  # another value: it has been refreshed
        ([(0, 0.5), (950, 0.5), (1000, 0.5), (1050, 0.5)], [0, 1000]),  # must have been
    ],
)
def test_an_unstamped_utilization_counts_when_it_must_be_new(
    tmp_path: Path, readings: list[tuple[int, float]], kept: list[int]
) -> None:
    records = [Reading(RATES, at * MS, 0, {"nvml_utilization": v}) for at, v in readings]
    series = only(replay(tmp_path, facts(), *records))
    assert series.at_s == pytest.approx([at / 1000 for at in kept])
    assert series.window_s == 1.0


def test_a_momentary_value_counts_every_time(tmp_path: Path) -> None:
    records = [
        Reading("nvmlDeviceGetTemperatureV", at * MS, 2 * MS, {"temperature_c": 40.0})
        for at in (0, 50)
    ]
    series = only(replay(tmp_path, facts(), *records))
    assert series.at_s == pytest.approx([0.001, 0.051])  # the middle of the call
    assert series.window_s is None


def test_a_ratio_over_a_held_up_poll_is_left_out(tmp_path: Path) -> None:
    ends_and_windows = ((150, 150), (310, 160), (900, 590), (1050, 150))
    records = [
        Reading("nvmlGpmMetricsGet", end * MS, 0, {"sm_active": end / 2000}, window * MS)
        for end, window in ends_and_windows
    ]
    log = replay(tmp_path, facts(), *records)
    series = only(log)
    assert series.at_s == pytest.approx([0.15, 0.31, 1.05])
    # The longest of the usual windows, and the time by which the counters may be old.
    assert series.window_s == pytest.approx(0.16 + 0.1)
    assert log.fresh_samples("sm_active", 0.0, 2.0) == 2
    assert log.fresh_samples("sm_active", -1.0, 2.0) == 3


@pytest.mark.parametrize(
    ("before", "after", "own", "others"),
    [
        ([], [7], [7], 0),
        ([5], [5, 7], [7], 1),
        ([5], [7], [7], 1),  # it went away in between, but it was there
        ([], [4711], [7], 0),  # in a container: our own process under the host's number
        ([5], [5, 4711], [7], 1),
        ([5], [], [7], None),  # not even the process that trains is shown
    ],
)
def test_other_processes(
    tmp_path: Path, before: list[int], after: list[int], own: list[int], others: int | None
) -> None:
    log = replay(tmp_path, facts(), Processes(1, before), Processes(2, after))
    assert log.samples(own).other_processes == others


def test_other_processes_are_not_known_without_a_look_at_the_end(tmp_path: Path) -> None:
    assert replay(tmp_path, facts(), Processes(1, [5])).samples([7]).other_processes is None


def test_lacking_is_a_reason_and_failing_an_incident(tmp_path: Path) -> None:
    log = replay(
        tmp_path,
        facts(),
        Failed(1, "nvmlGpmQueryDeviceSupport", 3, "no GPM", ["sm_active", "sm_occupancy"]),
        Failed(2, "nvmlDeviceGetPowerUsage", 4, "Insufficient Permissions", ["power_w"]),
        Failed(3, "nvmlDeviceGetTemperatureV", 13, "missing", []),  # the old call serves
    )
    (incident,) = log.incidents()
    assert incident.kind == "nvml_error"
    assert "power_w" in incident.detail
    assert log.samples().absent == {
        "sm_active": "nvmlGpmQueryDeviceSupport: no GPM",
        "sm_occupancy": "nvmlGpmQueryDeviceSupport: no GPM",
        "power_w": "nvmlDeviceGetPowerUsage: Insufficient Permissions",
    }


def test_a_call_that_hangs_is_an_incident_at_its_time(tmp_path: Path) -> None:
    log = replay(tmp_path, facts(), Hung(2_000 * MS, "nvmlDeviceGetPowerUsage", 2.1))
    (hung,) = log.incidents()
    assert (hung.kind, hung.at_s) == ("nvml_hang", 2.0)
    assert "nvmlDeviceGetPowerUsage" in hung.detail


def test_a_sampler_that_stopped_says_when_and_why(tmp_path: Path) -> None:
    stopped = Stopped(5_000 * MS, "gpu_lost", "GPU is lost", "reset it")
    log = replay(tmp_path, facts(), stopped)
    (lost,) = log.incidents()
    assert (lost.kind, lost.at_s, lost.detail) == ("gpu_lost", 5.0, "GPU is lost. Remedy: reset it")
    assert log.samples().reason == "GPU is lost"
