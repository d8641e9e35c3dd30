"""What samplers saw over time, with the phases behind."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.statistics import median, quantile
from seqprof.recording import Recording, SampleSeries, Trial
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    Block,
    Cell,
    Chart,
    Folded,
    Prose,
    Section,
    Table,
    heads,
    word,
)
from seqprof.reports.documents.run.over_time import MOST_POINTS, over_time
from seqprof.reports.documents.run.steps import core_blocks
from seqprof.reports.plots import Curve, thinned

_RATIOS = ("nvml_utilization", "nvml_memory_utilization", "sm_active", "sm_occupancy")
#: Name and unit of each other metric; a bit mask is no curve.
_OTHERS = {
    "memory_used_bytes": ("Memory used", "B"),
    "power_w": ("Power", "W"),
    "sm_clock_hz": ("SM clock", "Hz"),
    "memory_clock_hz": ("Memory clock", "Hz"),
    "temperature_c": ("Temperature", "°C"),
}
_BEHIND = (
    "Behind each curve: the measured steps and, for each phase repeated alone, its dwell; where "
    "steps are wide enough (zoom in), the phases of each, on the host. A sample covers far more "
    "than one phase of a short step."
)
#: Two colours that are no phase's, which lie behind; of each two metrics the second is dashed.
_COLOURS = ("text", "link")


def sample_section(recording: Recording, trial: Trial) -> Section:
    """Return utilization over time; without an accelerator that of the processor's cores."""
    title = "Utilization over time"
    if not recording.environment.device.is_accelerator:
        return Section(title=title, blocks=core_blocks(recording, trial), rank=DETAIL)
    series = [s for s in trial.samples.series if s.metric in _RATIOS and s.at_s]
    absent = [f"{metric}: {q.NOTHING} {why}" for metric, why in trial.samples.absent.items()]
    if not series:
        reason = trial.samples.reason or "the sampler brought no utilization"
        unsampled = Prose(lines=[f"Not sampled: {reason}.", *absent], tone="quiet")
        return Section(title=title, blocks=[unsampled], rank=DETAIL)
    behind = Prose(lines=[_BEHIND], tone="quiet")
    blocks: list[Block] = [behind, _chart("Utilization", series, "1", trial)]
    others = [s for s in trial.samples.series if s.metric in _OTHERS and s.at_s]
    if others:
        charts = [_chart(_OTHERS[s.metric][0], [s], _OTHERS[s.metric][1], trial) for s in others]
        blocks.append(Folded(summary="Power, clocks, memory, temperature", blocks=charts))
    if absent:
        blocks.append(Prose(lines=absent, tone="quiet"))
    return Section(title=title, blocks=blocks, rank=DETAIL)


def _chart(title: str, series: Sequence[SampleSeries], unit: str, trial: Trial) -> Chart:
    every = [thinned(len(s.at_s), MOST_POINTS) for s in series]
    times = sorted({at for s, k in zip(series, every, strict=True) for at in s.at_s[::k]})
    windows = [
        f"{s.metric}: {s.source}"
        + ("" if s.window_s is None else f"; each covers the {q.seconds(s.window_s)} before it")
        for s in series
    ]
    drawn = [
        Curve(
            name=s.metric,
            colour=_COLOURS[index // 2 % len(_COLOURS)],
            dash=index % 2 == 1,
            stepped=s.window_s is not None,
            y=_at(times, dict(zip(s.at_s[::k], s.value[::k], strict=True))),
        )
        for index, (s, k) in enumerate(zip(series, every, strict=True))
    ]
    thin = max(every)
    remarks = windows + ([f"Every {thin}th sample is drawn; the JSON has all."] if thin > 1 else [])
    return Chart(
        title=title,
        label=f"{title} over {times[-1] - times[0]:.1f} s: "
        + ", ".join(f"{s.metric}, median {_shown(median(s.value), unit)}" for s in series),
        plot=over_time(times, drawn, title, unit, trial),
        table=_table(title, series, unit),
        remarks=remarks,
    )


def _at(times: Sequence[float], values: dict[float, float]) -> list[float | None]:
    return [values.get(at) for at in times]


def _shown(value: float, unit: str) -> str:
    if unit == "1":
        return q.share(value)
    if unit == "B":
        return f"{value / 2**30:.2f} GiB"
    if unit == "Hz":
        return f"{value / 1e6:,.0f} MHz"
    return f"{value:.4g} {unit}"


def _table(title: str, series: Sequence[SampleSeries], unit: str) -> Table:
    columns = heads("metric", "samples", "smallest", "p25", "median", "p75", "largest")
    rows = [
        [
            word(s.metric),
            word(f"{len(s.value):,}"),
            *(
                Cell(text=_shown(quantile(s.value, at), unit), method=s.source)
                for at in (0.0, 0.25, 0.5, 0.75, 1.0)
            ),
        ]
        for s in series
    ]
    return Table(caption=f"{title}: all samples", columns=columns, rows=rows)
