"""Reads what Weights & Biases keeps of an offline run; its package only writes it.

The file is a LevelDB log: blocks of 32 KiB of records, each `crc32, length, type` and data; it
begins with a header of its own of 7 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

BLOCK, FILE_HEADER = 32_768, 7
RECORD_HEADER = struct.Struct("<IHB")
WHOLE, LAST = 1, 4


def records(path: Path) -> Iterator[Any]:
    """Yield the protobuf records of a `.wandb` file."""
    record = import_module("wandb.proto.wandb_internal_pb2").Record
    data, at, held = path.read_bytes(), FILE_HEADER, b""
    while at + RECORD_HEADER.size <= len(data):
        if BLOCK - at % BLOCK < RECORD_HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, at)
        at += RECORD_HEADER.size
        held += data[at : at + length]
        at += length
        if kind in (WHOLE, LAST):
            found = record()
            found.ParseFromString(held)
            yield found
            held = b""
