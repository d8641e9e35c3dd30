"""A vendor whose device counts its busy time, instead of averaging it over a window."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from seqprof.recording import DeviceSamples
from seqprof.samplers.records import BusyCounter, DeviceFacts, End, Record
from seqprof.samplers.replay import SampleLog
from seqprof.samplers.vendors import sampler_module

MS = 1_000_000


def replayed(*counters: BusyCounter) -> DeviceSamples:
    facts = DeviceFacts(at_ns=0, driver="1", nvml=None, name="Counting", uuid="C-1", mig=None)
    log = SampleLog(origin_ns=0)
    records: tuple[Record, ...] = (facts, *counters, End(10_000 * MS))
    for record in records:
        log.feed(msgspec.json.encode(record) + b"\n")
    return log.samples()


def count(at_ms: int, busy_us: int, stamp_us: int) -> BusyCounter:
    return BusyCounter(
        call="zesEngineGetActivity",
        metric="nvml_utilization",
        at_ns=at_ms * MS,
        latency_ns=1000,
        busy_us=busy_us,
        stamp_us=stamp_us,
    )


def test_two_counts_are_the_share_of_the_time_between_them() -> None:
    """Its clock starts anywhere: only differences count."""
    made = replayed(
        count(100, 5_000, 900_000),
        count(200, 30_000, 1_000_000),
        count(300, 130_000, 1_100_000),
        count(400, 130_000, 1_200_000),
    )
    (series,) = made.series
    assert series.value == pytest.approx((0.25, 1.0, 0.0))
    assert series.at_s == pytest.approx((0.2, 0.3, 0.4))
    assert series.window_s is not None
    assert series.window_s >= 0.1


@pytest.mark.parametrize(
    "second",
    [count(200, 1_000, 1_000_000), count(200, 9_000, 900_000), count(200, 900_000, 1_000_000)],
    ids=["set back", "stood still", "more busy than time"],
)
def test_a_counter_that_cannot_be_right_gives_no_share(second: BusyCounter) -> None:
    assert replayed(count(100, 5_000, 900_000), second).series == ()


def test_one_count_is_no_share() -> None:
    made = replayed(count(100, 5_000, 900_000))
    assert made.series == ()
    assert made.reason is not None


def test_another_package_brings_a_vendor_s_sampler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sampler_module("cuda") == sampler_module("xpu") == "seqprof.samplers.nvml"
    metadata = tmp_path / "counting-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[seqprof.samplers]\nxpu = counting.sampler\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert sampler_module("xpu") == "counting.sampler"
