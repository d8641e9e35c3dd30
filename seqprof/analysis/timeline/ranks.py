"""The ranks of one job side by side: who is slowest, how far apart they are, who waits for whom.

Of each rank only a digest is kept, so a folder of a thousand files needs little memory. Clocks of
different machines differ; a collective ends on all of its ranks at once (but for the time that its
last message takes), so the median difference of its ends ties them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from msgspec import Struct, structs

from seqprof.analysis.timeline.structure import Activities, Timeline
from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.analysis.timeline.traffic import is_collective

#: Collectives of a rank that are matched, the first ones.
MOST_COLLECTIVES = 2_000


class Digest(Struct, frozen=True, kw_only=True):
    """What is kept of one device of one rank; ``ends_ns`` are of its collectives, as ``keys``."""

    source: str
    rank: int | None
    process: str | None
    device: int | None
    span_ns: int
    busy_ns: int
    idle_ns: int
    idle_fraction: float | None
    idle_by_cause_ns: dict[str, int]
    median_step_ns: int | None
    collective_ns: int
    exposed_ns: int
    keys: tuple[str, ...] = ()
    starts_ns: tuple[int, ...] = ()
    ends_ns: tuple[int, ...] = ()
    reason: str | None = None


class RankLine(Struct, frozen=True, kw_only=True):
    """One rank; ``wait_ns`` is what it waited in collectives for the last rank to start.

    ``clock_ns`` is its clock less the first rank's; both are null where no collective is shared.
    """

    source: str
    rank: int | None
    process: str | None
    device: int | None
    span_ns: int
    busy_ns: int
    idle_ns: int
    idle_fraction: float | None
    main_cause: str | None
    median_step_ns: int | None
    collective_ns: int
    exposed_ns: int
    wait_ns: int | None
    clock_ns: int | None


class RanksSummary(Struct, frozen=True, kw_only=True):
    """All ranks of a job.

    ``slowest`` is a row of ``ranks``: the one that waits least for others where collectives tell,
    else that of the longest own work (busy without collectives). ``spread`` is the largest over the
    smallest own work. ``matched`` collectives are on more than one rank, ``by`` says how.
    """

    source: str
    ranks: tuple[RankLine, ...]
    slowest: int | None
    spread: float | None
    matched: int
    by: str | None
    failed: tuple[str, ...] = ()
    #: Whether the ranks are as the files are named: the traces do not record them.
    ranks_by_file: bool = False

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if self.slowest is not None and not 0 <= self.slowest < len(self.ranks):
            raise ValueError("The slowest is none of the ranks")


def digests(timeline: Timeline) -> list[Digest]:
    """Digest every device of ``timeline``."""
    summary = summarise(timeline)
    parts = {part.process: part for part in timeline.parts or (timeline,)}
    return [
        _digest(summary.source, summary.rank, account, parts[account.process])
        for account in summary.accounts
    ]


def _digest(source: str, rank: int | None, account: DeviceSummary, part: Timeline) -> Digest:
    keys, starts, ends = _collectives(part, account)
    windows = [step.window_ns for step in account.steps if step.window_ns]
    return Digest(
        source=source,
        rank=rank,
        process=account.process,
        device=account.device,
        span_ns=account.span_ns,
        busy_ns=account.busy_ns,
        idle_ns=account.idle_ns,
        idle_fraction=account.idle_fraction,
        idle_by_cause_ns=dict(account.idle_by_cause_ns),
        median_step_ns=int(median(windows)) if windows else None,
        collective_ns=sum(each.busy_ns for each in account.collectives),
        exposed_ns=sum(each.exposed_ns for each in account.collectives),
        keys=keys,
        starts_ns=starts,
        ends_ns=ends,
    )


def _collectives(
    part: Timeline, account: DeviceSummary
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Keys of the collectives of a device that are the same on every rank, with start and end."""
    activities = part.activities
    chosen = (activities.device == account.device) & is_collective(part, activities)
    mine = activities.at(np.flatnonzero(chosen)[:MOST_COLLECTIVES])
    return _keys(part, mine), tuple(mine.start_ns.tolist()), tuple(mine.end_ns.tolist())


def _keys(part: Timeline, collectives: Activities) -> tuple[str, ...]:
    """Group and sequence number; where not recorded, group and order among its kind."""
    seen: Counter[str] = Counter()
    keys = []
    for group, seq, name in zip(
        collectives.group.tolist(), collectives.seq.tolist(), collectives.name.tolist(), strict=True
    ):
        kind = f"{part.names[group]} {part.names[name].partition('(')[0]}"
        seen[kind] += 1
        keys.append(f"seq {part.names[group]} {seq}" if seq >= 0 else f"order {kind} {seen[kind]}")
    return tuple(keys)


def beside(source: str, digests: Sequence[Digest], failed: Sequence[str] = ()) -> RanksSummary:
    """Set ranks side by side, in order of rank where it is recorded, else of file."""
    named = _ranks_by_file(digests)
    order = sorted(
        (structs.replace(one, rank=named.get(one.source, one.rank)) for one in digests),
        key=lambda one: (one.rank is None, one.rank or 0, one.source),
    )
    clocks = _clocks(order)
    waits, matched, keys = _waits(order, clocks)
    own = [one.busy_ns - one.exposed_ns for one in order]
    known = [row for row, wait in enumerate(waits) if wait is not None]
    slowest = min(known, key=lambda row: waits[row] or 0) if len(known) > 1 else None
    if slowest is None and len(order) > 1:
        slowest = max(range(len(order)), key=lambda row: own[row])
    return RanksSummary(
        source=source,
        ranks=tuple(
            _line(one, clock, wait) for one, clock, wait in zip(order, clocks, waits, strict=True)
        ),
        slowest=slowest,
        spread=max(own) / min(own) if len(own) > 1 and min(own) > 0 else None,
        matched=matched,
        by=None
        if not matched
        else ("group and sequence number" if keys.startswith("seq") else "group and order"),
        failed=tuple(failed),
        ranks_by_file=bool(named),
    )


def _ranks_by_file(digests: Sequence[Digest]) -> dict[str, int]:
    """The rank of each file by its name, where no trace records one.

    It is the number behind ``rank``, else the only one in which the names differ; none if two files
    would have the same.
    """
    sources = sorted({one.source for one in digests})
    if len(sources) < 2 or any(one.rank is not None for one in digests):
        return {}
    spelled = [re.search(r"(?i)rank[-_.]?(\d+)", source) for source in sources]
    if all(spelled):
        numbers = [int(match.group(1)) for match in spelled if match]
    else:
        each = [re.findall(r"\d+", source) for source in sources]
        alike = {re.sub(r"\d+", "#", source) for source in sources}
        differ = [at for at, column in enumerate(zip(*each, strict=False)) if len(set(column)) > 1]
        if len(alike) > 1 or len(differ) != 1:
            return {}
        numbers = [int(one[differ[0]]) for one in each]
    return dict(zip(sources, numbers, strict=True)) if len(set(numbers)) == len(sources) else {}


def _line(one: Digest, clock: int | None, wait: int | None) -> RankLine:
    causes = {cause: time for cause, time in one.idle_by_cause_ns.items() if time}
    return RankLine(
        source=one.source,
        rank=one.rank,
        process=one.process,
        device=one.device,
        span_ns=one.span_ns,
        busy_ns=one.busy_ns,
        idle_ns=one.idle_ns,
        idle_fraction=one.idle_fraction,
        main_cause=max(causes, key=lambda cause: causes[cause]) if causes else None,
        median_step_ns=one.median_step_ns,
        collective_ns=one.collective_ns,
        exposed_ns=one.exposed_ns,
        wait_ns=wait,
        clock_ns=clock,
    )


def _clocks(ranks: Sequence[Digest]) -> list[int | None]:
    """Each rank's clock less that of the first with collectives; None where nothing ties them.

    A rank that shares no collective with the first is tied through those that do, and so on.
    """
    clocks: list[int | None] = [None] * len(ranks)
    first = next((row for row, one in enumerate(ranks) if one.keys), None)
    if first is None:
        return clocks
    clocks[first] = 0
    reference = dict(zip(ranks[first].keys, ranks[first].ends_ns, strict=True))
    open_rows = [row for row in range(len(ranks)) if row != first]
    while open_rows:
        apart = {row: _apart(ranks[row], reference) for row in open_rows}
        tied = {row: clock for row, clock in apart.items() if clock is not None}
        if not tied:
            break
        for row, clock in tied.items():
            clocks[row] = clock
            for key, end in zip(ranks[row].keys, ranks[row].ends_ns, strict=True):
                reference.setdefault(key, end - clock)
        open_rows = [row for row in open_rows if row not in tied]
    return clocks


def _apart(one: Digest, reference: Mapping[str, int]) -> int | None:
    """How far the clock of a rank is ahead of that of ``reference``, by the ends they share."""
    apart = [
        end - reference[key]
        for key, end in zip(one.keys, one.ends_ns, strict=True)
        if key in reference
    ]
    return int(median(apart)) if apart else None


def _waits(
    ranks: Sequence[Digest], clocks: Sequence[int | None]
) -> tuple[list[int | None], int, str]:
    """What each rank waited for the last to start, by collective; how many were matched."""
    last: dict[str, int] = {}
    count: defaultdict[str, int] = defaultdict(int)
    for one, clock in zip(ranks, clocks, strict=True):
        for key, start in zip(one.keys, one.starts_ns, strict=True):
            if clock is not None:
                last[key] = max(last.get(key, start - clock), start - clock)
                count[key] += 1
    waits: list[int | None] = []
    for one, clock in zip(ranks, clocks, strict=True):
        shared = [
            last[key] - (start - (clock or 0))
            for key, start in zip(one.keys, one.starts_ns, strict=True)
            if count[key] > 1
        ]
        waits.append(sum(shared) if shared and clock is not None else None)
    matched = [key for key, times in count.items() if times > 1]
    return waits, len(matched), matched[0] if matched else ""
