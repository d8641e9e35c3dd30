"""Every kind of result, and where what can be done with it is written.

A new kind is one entry here: the function that makes its document, from which the terminal,
Markdown and HTML follow, and those that make its rows (CSV) and its JSON. Each is named as
``module:function`` and imported when it is needed, so that one kind loads nothing of the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from msgspec import Struct

from seqprof.errors import SeqprofError


class ResultKind(Struct, frozen=True, kw_only=True):
    """One kind of result.

    Attributes:
        name: the command that brings it.
        noun: what a sentence calls such a result.
        document: ``(Result, View) → Document``.
        rows: ``(summary) → tuple[Row, ...]``; of a run ``(summary, trial, most timestep rows)``.
        json: the module that has its JSON: ``DOCUMENT``, the shape; ``of_result(Result) → bytes``,
            ended by a newline; and ``read(bytes, name) → [Result]``, of kinds that are not stored
            as recordings.
        summarise: ``(Recording) → summary``, of kinds that are stored as recordings.
    """

    name: str
    noun: str
    document: str
    rows: str
    json: str
    summarise: str | None = None


KINDS = {
    kind.name: kind
    for kind in (
        ResultKind(
            name="run",
            noun="a stored run",
            document="seqprof.reports.documents.run.document:document",
            rows="seqprof.analysis.run.rows:rows",
            json="seqprof.reports.exports.run_json",
            summarise="seqprof.analysis.run.summary:summarise",
        ),
        ResultKind(
            name="compare",
            noun="a stored comparison",
            document="seqprof.reports.documents.compare:document",
            rows="seqprof.analysis.compare.rows:rows",
            json="seqprof.reports.exports.compare_json",
            summarise="seqprof.analysis.compare.compared:summarise_comparison",
        ),
        ResultKind(
            name="scale",
            noun="a stored scaling",
            document="seqprof.reports.documents.scale:document",
            rows="seqprof.analysis.scale.rows:rows",
            json="seqprof.reports.exports.scale_json",
            summarise="seqprof.analysis.scale.scaled:summarise_scaling",
        ),
        ResultKind(
            name="depth",
            noun="what `seqprof depth` found",
            document="seqprof.reports.documents.depth:document",
            rows="seqprof.analysis.depth.rows:rows",
            json="seqprof.reports.exports.depth_json",
        ),
        ResultKind(
            name="explain",
            noun="what `seqprof explain` found",
            document="seqprof.reports.documents.explain:document",
            rows="seqprof.analysis.explain.summary:rows",
            json="seqprof.reports.exports.explain_json",
        ),
        ResultKind(
            name="trace",
            noun="what `seqprof trace` found",
            document="seqprof.reports.documents.trace:document",
            rows="seqprof.analysis.timeline.rows:rows",
            json="seqprof.reports.exports.trace_json",
        ),
        ResultKind(
            name="ranks",
            noun="what `seqprof trace FOLDER` found",
            document="seqprof.reports.documents.ranks:document",
            rows="seqprof.analysis.timeline.rows:rank_rows",
            json="seqprof.reports.exports.ranks_json",
        ),
        ResultKind(
            name="diff",
            noun="what `seqprof diff` found",
            document="seqprof.reports.documents.diff:document",
            rows="seqprof.analysis.diff.rows:rows",
            json="seqprof.reports.exports.diff_json",
        ),
        ResultKind(
            name="history",
            noun="the trends that `seqprof history` shows",
            document="seqprof.reports.documents.history:document",
            rows="seqprof.analysis.history.rows:rows",
            json="seqprof.reports.exports.history_json",
        ),
    )
}


def call(name: str, *arguments: Any) -> Any:
    """Import ``module:function`` and call it."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)(*arguments)


def summarise(recording: Any) -> Any:
    """Return what a recording comes to, by its kind.

    Raises:
        SeqprofError: the recording holds no trial, or is of a kind that nothing here shows.
    """
    kind = KINDS.get(recording.kind)
    if kind is None or kind.summarise is None:
        raise SeqprofError(f"a recording of kind {recording.kind!r} cannot be shown")
    return call(kind.summarise, recording)
