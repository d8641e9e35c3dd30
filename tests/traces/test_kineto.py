"""Reading trace files: every spelling of the same trace is the same timeline."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traces_fixtures import (
    RECORDED,
    TRACES,
    Event,
    annotation,
    kernel,
    launch,
    needs_traces,
    operator,
    recorded,
    write_trace,
)

from seqprof.analysis.timeline.structure import Timeline
from seqprof.errors import SeqprofError
from seqprof.traces.containers import CHUNK_BYTES
from seqprof.traces.kineto import read_trace

EVENTS = [
    operator("aten::mm", 0, 5),
    launch(1, 11),
    launch(3, 12),
    annotation("## forward ##", 0, 10),
    kernel("mm", 2.5, 4.25, 11),
    kernel("relu", 7, 1.125, 12),
]


def content(timeline: Timeline) -> dict[str, Any]:
    """Everything in a timeline but its source, with names and threads spelled out."""
    names = np.array([*timeline.names, ""], dtype=object)
    host, activities = timeline.host, timeline.activities
    return {
        "events": timeline.events,
        "activities": sorted(
            zip(
                activities.device.tolist(),
                activities.stream.tolist(),
                activities.start_ns.tolist(),
                activities.end_ns.tolist(),
                names[activities.name].tolist(),
                activities.launch_ns.tolist(),
                strict=True,
            )
        ),
        "host": sorted(
            zip(
                host.start_ns.tolist(),
                host.end_ns.tolist(),
                host.kind.tolist(),
                names[host.name].tolist(),
                host.sequence.tolist(),
                strict=True,
            )
        ),
    }


def test_launches_are_found_and_times_are_exact(tmp_path: Path) -> None:
    activities = read_trace(write_trace(tmp_path / "t.json", EVENTS)).activities
    assert activities.start_ns.tolist() == [2500, 7000]
    assert activities.end_ns.tolist() == [6750, 8125]
    assert activities.launch_ns.tolist() == [1000, 3000]


def as_strings(event: Event) -> Event:
    return {**event, "ts": str(event["ts"]), "dur": str(event["dur"])}


def as_old_schema(event: Event) -> Event:
    old = {
        "kernel": "Kernel",
        "cpu_op": "Operator",
        "user_annotation": "Operator",
        "cuda_runtime": "Runtime",
    }
    return {**event, "cat": old[event["cat"]], "tid": str(event["tid"])}


def as_rocm(event: Event) -> Event:
    names = {"cudaLaunchKernel": "hipLaunchKernel"}
    return {**event, "cat": event["cat"].replace("cuda_runtime", "hip_runtime"),
        "name": names.get(event["name"], event["name"])}  # fmt: skip


@pytest.mark.parametrize("spelling", [as_strings, as_old_schema])
def test_spellings_of_the_same_trace_agree(
    tmp_path: Path, spelling: Callable[[Event], Event]
) -> None:
    plain = read_trace(write_trace(tmp_path / "plain.json", EVENTS))
    other = read_trace(write_trace(tmp_path / "other.json", [spelling(e) for e in EVENTS]))
    assert content(other) == content(plain)


def test_other_vendors_have_launches_too(tmp_path: Path) -> None:
    timeline = read_trace(write_trace(tmp_path / "t.json", [as_rocm(e) for e in EVENTS]))
    assert timeline.activities.launch_ns.tolist() == [1000, 3000]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1661203462598738.123", 1661203462598738123),  # a float would lose 123 ns
        ("4458676522690.655", 4458676522690655),  # times 1000 as a float is 1 ns off
        ("1419247332972.313", 1419247332972313),
        ("12", 12000),
        ('"12.5"', 12500),
        ("1.5e3", 1500000),
    ],
)
def test_times_are_read_to_the_nanosecond(tmp_path: Path, text: str, nanoseconds: int) -> None:
    event = '{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":1,"dur":0,"ts":' + text + "}"
    path = tmp_path / "t.json"
    path.write_text('{"traceEvents": [' + event + "]}")
    assert read_trace(path).activities.start_ns.tolist() == [nanoseconds]


@pytest.mark.parametrize(
    "text",
    [
        '{"traceEvents": %s}',
        '{"traceEvents"  :  %s, "traceName": "x", "deviceProperties": [{"id": 0}, {"id": 1}]}',
        '{"note": "\\"traceEvents\\": [", "traceEvents": %s}',
        "%s",
        "\ufeff  %s",
    ],
)
@pytest.mark.parametrize("indent", [None, 4])
def test_layouts_of_the_file(tmp_path: Path, text: str, indent: int | None) -> None:
    path = tmp_path / "t.json"
    path.write_text(text % json.dumps(EVENTS, indent=indent))
    expected = read_trace(write_trace(tmp_path / "plain.json", EVENTS))
    assert content(read_trace(path)) == content(expected)


def long_trace(count: int) -> list[Event]:
    """Events over several chunks, with names that look like the cut between two events."""
    hostile = ['}, {"ph": "X"', "]}", "\\", '"},{"', "Ω\u0000", "}\n,\n{"]
    events: list[Event] = []
    for index in range(count):
        events.append(launch(10 * index, index))
        events.append(kernel(f"k{hostile[index % len(hostile)]}", 10 * index + 3, 4, index))
        events[-1]["args"]["list"] = [{"a": 1}, {"ph": "X"}, {"b": {"c": "}, {"}}]
    return events


def test_a_trace_longer_than_a_chunk_is_cut_only_between_events(tmp_path: Path) -> None:
    events = long_trace(16_000)
    path = write_trace(tmp_path / "t.json", events)
    assert path.stat().st_size > 2 * CHUNK_BYTES
    timeline = read_trace(path)
    assert timeline.events == len(events)
    assert len(timeline.activities) == 16_000
    assert {timeline.names[code] for code in np.unique(timeline.activities.name)} == {
        event["name"] for event in events if event["cat"] == "kernel"
    }


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_truncated_file_needs_partial(tmp_path: Path, suffix: str) -> None:
    whole = write_trace(tmp_path / f"t{suffix}", long_trace(16_000))
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(SeqprofError, match=r"cut\.json.*:1:\d+: the trace is truncated: ") as error:
        read_trace(cut)
    assert error.value.hint is not None
    assert "--partial" in error.value.hint
    timeline = read_trace(cut, partial=True)
    assert timeline.defects.truncated
    assert 8_000 < len(timeline.activities) < 12_000
    assert (
        content(timeline)["activities"]
        == content(read_trace(whole))["activities"][: len(timeline.activities)]
    )


def test_a_damaged_event_is_left_out_with_partial(tmp_path: Path) -> None:
    text = json.dumps({"traceEvents": long_trace(16_000)})
    middle = text.index('"dur"', len(text) // 2)
    path = tmp_path / "t.json"
    path.write_text(text[:middle] + "%%%" + text[middle:])
    with pytest.raises(SeqprofError, match=rf":1:{middle + 1}: the trace is damaged: "):
        read_trace(path)
    timeline = read_trace(path, partial=True)
    assert timeline.events == 2 * 16_000 - 1
    assert timeline.defects.damaged_events == 1


@pytest.mark.parametrize(
    ("good", "bad"),
    [('"bytes": 1', '"x": inf'), ('"bytes": 1', '"x": -nan'), ("relu", "C:\\Windows")],
)
def test_known_faults_of_writers_are_repaired(tmp_path: Path, good: str, bad: str) -> None:
    events = [*EVENTS, kernel("relu", 20, 1, 12)]
    events[-1]["args"]["bytes"] = 1
    text = json.dumps({"traceEvents": events})
    assert good in text
    path = tmp_path / "t.json"
    path.write_text(text.replace(good, bad))
    timeline = read_trace(path)
    assert len(timeline.activities) == 3
    assert timeline.defects.repaired_text


def test_invalid_utf8_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(json.dumps({"traceEvents": EVENTS}).encode().replace(b"relu", b"re\xfflu"))
    assert "re\ufffdlu" in read_trace(path).names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"{}", "no list `traceEvents`"),
        (b"hello", "it is neither a JSON object nor a list"),
        (b"42", "it is neither a JSON object nor a list"),
        (b"{hello", "it has no list `traceEvents`, and its JSON has an error: "),
        (b'{"schemaVersion": 1, "dev', "it has no list `traceEvents`, and its JSON ends early"),
        (b'{"traceEvents": {"ph": "X"}}', "no list `traceEvents`"),
        (b"[1, 2, 3]", "its list holds no events"),
        (b'[{"loss": 1.5}, {"loss": 1.2}]', "its list holds no events"),
        (b"\x1f\x8b\x08", "1:1: the trace is truncated: the gzip stream ends early"),
    ],
)
def test_what_is_no_trace_is_said_so(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(data)
    with pytest.raises(SeqprofError, match=message):
        read_trace(path)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(SeqprofError, match="cannot read"):
            read_trace(path)


def test_events_of_impossible_types_are_left_out_and_counted(tmp_path: Path) -> None:
    events: list[Any] = [
        *EVENTS,
        {"ph": "X", "cat": "kernel", "name": 7, "ts": 1, "dur": 1},
        {"ph": "X", "cat": "kernel", "name": "k", "ts": [], "dur": 1},
        {"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 1, "args": []},
        None,
        {"ph": "X", "cat": "kernel", "name": "k", "dur": 1},
        {"ph": "X", "cat": "kernel", "name": "k", "ts": "soon", "dur": 1},
        {"ph": "X", "cat": "kernel", "name": "k", "ts": 5, "dur": -3},
    ]
    timeline = read_trace(write_trace(tmp_path / "t.json", events))
    assert len(timeline.activities) == 3
    assert timeline.defects.damaged_events == 4
    assert timeline.defects.untimed_events == 2
    assert timeline.defects.negative_durations == 1


@needs_traces
@pytest.mark.parametrize("name", ["nccl_data.json.gz", "h100_bert_small.json.gz"])
def test_recorded_traces_plain_shuffled_and_with_string_times(tmp_path: Path, name: str) -> None:
    document = recorded(name)
    plain = tmp_path / "plain.json"
    plain.write_bytes(gzip.decompress((TRACES / name).read_bytes()))
    expected = content(read_trace(TRACES / name))
    assert content(read_trace(plain)) == expected
    random.Random(5).shuffle(document["traceEvents"])
    events = [as_strings(e) if "dur" in e else e for e in document["traceEvents"]]
    assert content(read_trace(write_trace(tmp_path / "s.json", events))) == expected


@needs_traces
@pytest.mark.parametrize("name", RECORDED)
def test_all_events_of_recorded_traces_are_read(name: str) -> None:
    goldens = json.loads((TRACES / "goldens.json").read_text())
    assert read_trace(TRACES / name).events == goldens[name]["events"]


_PEAK = """
import resource, sys
from pathlib import Path
from seqprof.analysis.timeline.summary import summarise
from seqprof.traces.kineto import read_trace
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
assert summarise(read_trace(Path(sys.argv[1]))).devices[0].activities == int(sys.argv[2])
print(peak() - before)
"""


def test_memory_stays_below_the_size_of_the_file(tmp_path: Path) -> None:
    path, count = tmp_path / "t.json", 100_000
    stack = "module.py(17): forward;" * 8
    with path.open("w") as file:
        file.write('{"traceEvents": [\n')
        for index in range(count):
            call = launch(10 * index, index)
            call["args"]["Call stack"] = stack
            work = kernel(f"kernel {index % 50}", 10 * index + 3, 4, index)
            file.write(f"{json.dumps(call)},\n{json.dumps(work)},\n")
        file.write(json.dumps(launch(0, count)) + "\n]}")
    result = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < path.stat().st_size
