"""A folder of ranks: who is slowest, whose clock is off, in little memory, on several processes."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import command_line
import jsonschema
import pytest
from traces_fixtures import Event, kernel, launch, write_trace

from seqprof.analysis.timeline.ranks import RanksSummary
from seqprof.errors import SeqprofError
from seqprof.traces.folder import read_folder

RANKS, STEPS = 4, 12
SLOW = 2
#: Microseconds by which each rank's clock is ahead of the first one's.
CLOCKS = (0, 5_000, -700, 123_456)


def rank_file(folder: Path, rank: int, with_numbers: bool, clock: int = 0) -> Path:
    """A rank that computes, then takes part in a collective, which ends on all ranks at once."""
    chance = random.Random(7)  # the same on every rank
    events: list[Event] = []
    ready = [0] * RANKS
    for step in range(STEPS):
        own = [100 + chance.randint(0, 9) + (60 if one == SLOW else 0) for one in range(RANKS)]
        starts = [ready[one] + own[one] for one in range(RANKS)]
        end = max(starts) + 20
        compute = kernel("gemm", ready[rank] + 1 + clock, own[rank] - 1, 2 * step + 1)
        reduce = kernel(
            "ncclDevKernel_AllReduce", starts[rank] + clock, end - starts[rank], 2 * step + 2
        )
        if with_numbers:
            reduce["args"] |= {"Process Group Name": "0", "Seq": step}
        events += [launch(ready[rank] + clock, 2 * step + 1), compute]
        events += [launch(ready[rank] + 2 + clock, 2 * step + 2), reduce]
        ready = [end] * RANKS
    return write_trace(folder / f"rank{rank}.json.gz", events, distributedInfo={"rank": rank})


def job(tmp_path: Path, with_numbers: bool = True) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    for rank in range(RANKS):
        rank_file(folder, rank, with_numbers, CLOCKS[rank])
    return folder


def check(summary: RanksSummary, by: str) -> None:
    assert [line.rank for line in summary.ranks] == list(range(RANKS))
    assert summary.slowest == SLOW
    assert summary.matched == STEPS
    assert summary.by == by
    assert [line.clock_ns for line in summary.ranks] == [1000 * clock for clock in CLOCKS]
    waits = [line.wait_ns or 0 for line in summary.ranks]
    assert waits[SLOW] == 0
    assert all(wait > STEPS * 50_000 for rank, wait in enumerate(waits) if rank != SLOW)
    assert summary.spread is not None
    assert 1.4 < summary.spread < 1.7


@pytest.mark.parametrize("with_numbers", [True, False])
def test_the_straggler_waits_least_whatever_the_clocks(tmp_path: Path, with_numbers: bool) -> None:
    by = "group and sequence number" if with_numbers else "group and order"
    check(read_folder(job(tmp_path, with_numbers)), by)


def test_clocks_are_tied_through_ranks_between(tmp_path: Path) -> None:
    """Ranks 0 and 3 share no group: pipeline stages, of which each talks to its neighbours."""
    groups = {"a": (0, 1), "b": (1, 2), "c": (2, 3)}
    folder = tmp_path / "job"
    folder.mkdir()
    for rank, clock in enumerate(CLOCKS):
        events: list[Event] = []
        mine = [name for name, ranks in groups.items() if rank in ranks]
        for row, (step, group) in enumerate(itertools.product(range(5), mine)):
            at = 1000 * step + 300 * "abc".index(group) + clock
            reduce = kernel("ncclDevKernel_AllReduce", at, 50, row)
            reduce["args"] |= {"Process Group Name": group, "Seq": step}
            events += [launch(at - 5, row), reduce]
        write_trace(folder / f"rank{rank}.json", events, distributedInfo={"rank": rank})
    summary = read_folder(folder)
    assert [line.clock_ns for line in summary.ranks] == [1000 * clock for clock in CLOCKS]
    assert summary.matched == 15


@pytest.mark.parametrize(
    ("names", "ranks"),
    [
        (["host_7.rank2.json", "host_7.rank10.json", "host_9.rank0.json"], [0, 2, 10]),
        (["trace_3.json", "trace_12.json", "trace_1.json"], [1, 3, 12]),
        (["a.json", "b.json", "c.json"], [None, None, None]),
        (["x1_y1.json", "x2_y2.json", "x3_y1.json"], [None, None, None]),
    ],
)
def test_ranks_that_are_not_recorded_are_read_off_the_names(
    tmp_path: Path, names: list[str], ranks: list[int | None]
) -> None:
    for name in names:
        write_trace(tmp_path / name, [launch(0, 1), kernel("k", 5, 10, 1)])
    summary = read_folder(tmp_path)
    assert [line.rank for line in summary.ranks] == ranks
    assert summary.ranks_by_file == (ranks[0] is not None)


def test_processes_that_share_the_files_find_the_same(tmp_path: Path) -> None:
    folder = job(tmp_path)
    assert read_folder(folder, jobs=2) == read_folder(folder)


def test_a_dask_cluster_finds_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    folder = job(tmp_path)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        protocol="tcp", host="127.0.0.1",
    ) as cluster:  # fmt: skip
        address = cluster.scheduler_address.removeprefix("tcp://")
        assert read_folder(folder, cluster=f"dask://{address}") == read_folder(folder)


def test_a_cluster_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(SeqprofError, match="no Dask scheduler answers"):
        read_folder(job(tmp_path), cluster="dask://127.0.0.1:1")


def test_a_folder_is_a_table_and_json_and_a_bad_file_is_said(tmp_path: Path) -> None:
    folder = job(tmp_path)
    (folder / "rank9.json").write_text("{")
    command = [sys.executable, "-m", "seqprof", "trace", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    words = " ".join(shown.stdout.split())
    assert "Rank 2 is the slowest: the others wait for it in collectives." in words
    assert "rank9.json" in "".join(words.split())  # a long path is broken where the line ends
    found = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    document = json.loads(found.stdout)
    assert [line["rank"] for line in document["ranks"]["ranks"]] == [0, 1, 2, 3]
    jsonschema.validate(document, json.loads(command_line.seqprof("schema", "ranks").stdout))


def test_a_folder_without_traces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeqprofError, match="holds no trace"):
        read_folder(tmp_path)
