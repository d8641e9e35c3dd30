"""TensorBoard: one folder of event files for each result, written without torch or TensorFlow."""

from __future__ import annotations

import re
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from seqprof.integrations.trackers.entries import Entries

#: TensorBoard's own habit.
DEFAULT_FOLDER = "runs"


def log(logged: Entries, where: str | None) -> str:
    """Write ``logged`` under the folder ``where``; `tensorboard --logdir` reads that."""
    folder = Path(where or DEFAULT_FOLDER) / re.sub(r"[^\w.@+-]+", "_", logged.title)
    at = datetime.fromisoformat(logged.created).timestamp()
    writer = import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter(
        str(folder)
    )
    event_pb2 = import_module("tensorboard.compat.proto.event_pb2")
    try:
        for summary, step in (*_once(logged), *_points(logged)):
            writer.add_event(event_pb2.Event(wall_time=at, step=step, summary=summary))
    finally:
        writer.close()
    return f"{folder}; tensorboard --logdir {where or DEFAULT_FOLDER} shows it"


def _once(logged: Entries) -> list[tuple[Any, int]]:
    hparams = import_module("tensorboard.plugins.hparams.summary_v2")
    return [
        (hparams.hparams_pb(logged.parameters, trial_id=logged.title), 0),
        (_text("notes", logged.notes), 0),
        *((_scalar(name, value), 0) for name, value in logged.scalars.items()),
    ]


def _points(logged: Entries) -> list[tuple[Any, int]]:
    return [
        (_scalar(name, value), x) for name, points in logged.series.items() for x, value in points
    ]


def _scalar(name: str, value: float) -> Any:
    summary_pb2 = import_module("tensorboard.compat.proto.summary_pb2")
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=name, simple_value=value)])


def _text(name: str, text: str) -> Any:
    """Return what the text plug-in shows: a string tensor that names the plug-in."""
    summary_pb2 = import_module("tensorboard.compat.proto.summary_pb2")
    tensor_pb2 = import_module("tensorboard.compat.proto.tensor_pb2")
    types_pb2 = import_module("tensorboard.compat.proto.types_pb2")
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[text.encode()])
    return summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(
                tag=name,
                metadata=summary_pb2.SummaryMetadata(plugin_data=plugin),
                tensor=tensor,
            )
        ]
    )
