"""The document of `seqprof run`."""

from __future__ import annotations

from seqprof.analysis.run.findings import Header
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.run.trust import doubt
from seqprof.recording import Recording, Trial
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    Block,
    Document,
    Headline,
    Only,
    Prose,
    Section,
    View,
)
from seqprof.reports.documents.findings import counted, findings
from seqprof.reports.documents.place import place_in_short, when
from seqprof.reports.documents.run.loop import loop_sections
from seqprof.reports.documents.run.phases import idle_section, phase_section
from seqprof.reports.documents.run.profile import profile_sections
from seqprof.reports.documents.run.timesteps import timestep_sections
from seqprof.reports.documents.run.words import (
    batch_sizes_in_words,
    model_in_words,
    steps_in_words,
    timesteps_in_words,
    with_interval,
)
from seqprof.reports.formats import Result


def document(result: Result, view: View) -> Document:
    """Return the document of one run."""
    summary: Summary = result.summary
    recording = result.recording
    assert recording is not None
    trial = recording.trials[0]
    title = _title(summary.header, trial)
    return Document(
        title=title,
        subtitle=_subtitle(summary),
        line=_line(title, summary),
        sections=[
            _answer(summary),
            *loop_sections(trial),
            phase_section(summary),
            *timestep_sections(summary, trial),
            idle_section(summary),
            *profile_sections(summary.profile),
            *findings(summary.caveats),
            _next(summary),
            *(_detail(result.name, summary, recording) if view.full else []),
        ],
    )


def _detail(name: str, summary: Summary, recording: Recording) -> list[Section]:
    from seqprof.reports.documents.run.detail import detail_sections  # not for the first screen

    return detail_sections(name, summary, recording)


def _title(header: Header, trial: Trial) -> str:
    where = timesteps_in_words(header)
    return f"{model_in_words(header)}: {where}, {batch_sizes_in_words(trial)}"


def _subtitle(summary: Summary) -> str:
    header = summary.header
    return " · ".join(
        [place_in_short(header.environment), steps_in_words(header), when(header.created)]
    )


def _line(title: str, summary: Summary) -> str:
    shares = ", ".join(
        f"{phase.phase} {q.percent(phase.share)}"
        for phase in summary.phases
        if phase.phase in ("forward", "backward")
    )
    unsure = " (not to be trusted yet)" if doubt(summary.step, summary.caveats) else ""
    return (
        f"{title}: step {with_interval(summary.step)}{unsure}; {shares or 'no phase measured'}"
        f"{counted(summary.caveats)}"
    )


def _answer(summary: Summary) -> Section:
    unsure = doubt(summary.step, summary.caveats)
    blocks: list[Block] = [Prose(lines=[unsure], tone="doubt")] if unsure else []
    blocks += [Prose(lines=[line], tone="doubt") for line in _two_readings(summary)]
    blocks.append(Prose(lines=summary.verdict.sentences, tone="answer"))
    if summary.header.workload.time_axis is not None:
        blocks.append(Prose(lines=[f"Your batches: {summary.header.workload.time_axis}."]))
    blocks.append(Only(where="page", blocks=[_headline(summary)]))
    return Section(title="", name="The answer", blocks=blocks)


def _two_readings(summary: Summary) -> list[str]:
    """What a reader must know before any figure: T and B may be others."""
    doubts = [caveat for caveat in summary.caveats if caveat.kind == "layout_doubtful"]
    return [f"{caveat.text}: {caveat.evidence}." for caveat in doubts]


def _headline(summary: Summary) -> Headline:
    shares = [
        (f"{phase.phase} of the step", cells.percent(phase.share))
        for phase in summary.phases
        if phase.phase in ("forward", "backward")
    ]
    idle = next((entry for entry in summary.idle if entry.phase == "step"), None)
    figures = [
        ("step", cells.time(summary.step)),
        ("timesteps per second", cells.number(summary.throughput, q.rate)),
        *shares,
    ]
    if idle is not None:
        who = "device" if idle.on_device else "cores"
        figures.append((f"{who} idle in a step", cells.idle(idle.idle_time, idle.time)))
    return Headline(figures=figures)


def _next(summary: Summary) -> Section:
    verdict = summary.verdict
    return Section(
        title=f"Next: {verdict.because}", blocks=[Prose(lines=[], command=verdict.next_command)]
    )
