"""A spec's data → the source that reads or makes them; one file per source beside this one."""

from __future__ import annotations

from pathlib import Path

from seqprof.spec import Spec
from seqprof.workloads.batches import Data
from seqprof.workloads.parameters import Parameters


def open_data(spec: Spec, folder: Path, forward: Parameters | None = None) -> Data:
    """Return what ``spec.data`` describes; paths and targets are relative to ``folder``.

    Args:
        forward: what a user's model takes, by which his batches are taken apart.

    Raises:
        SeqprofError: it cannot be read, is too short, or does not suit the head.
    """
    if spec.data.target is not None:
        from seqprof.workloads.data.own import OwnData

        return OwnData(spec, folder, forward)
    if spec.data.kind == "csv":
        from seqprof.workloads.data.from_csv import CsvData

        return CsvData(spec, folder)
    if spec.data.kind == "synthetic":
        from seqprof.workloads.data.synthetic import open_synthetic

        return open_synthetic(spec)
    from seqprof.workloads.data.text import open_text

    return open_text(spec, folder)
