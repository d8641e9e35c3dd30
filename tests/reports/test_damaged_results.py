"""Damaged documents of every kind: one message, wherever the damage is, and never another end."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from format_results import small

from seqprof.document_door import damage_told
from seqprof.errors import SeqprofError
from seqprof.reports import formats
from seqprof.reports.formats import EVERY_KIND
from seqprof.reports.quantities import sparkline
from seqprof.reports.stored import read

KINDS = sorted(EVERY_KIND)
FORMATS = ("table", "markdown", "html", "csv", "json")
MUTANTS = 40
NUMBERS = (0, -1, 2**63, 1e308, 5e-324, -0.0, 3)
ODD: tuple[Any, ...] = (None, [], {}, "", True, [None], {"a": 1}, "\x1b[31mX", "x" * 100_000)


def document(kind: str, folder: Path) -> Any:
    return json.loads(formats.load("json").render([small(kind, folder)]))


def show(path: Path) -> str | None:
    """Show a file in every format; returns the message where it is refused."""
    try:
        results = read(path)
        with damage_told(str(path)):
            for name in FORMATS:
                formats.load(name).render(results)
    except SeqprofError as error:
        return error.message
    return None


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for index in {0, len(value) // 2, len(value) - 1} & set(range(len(value))):
            yield from places(value[index], (*at, index))


def holder(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at[:-1]:
        value = value[key]
    return value


def mutate(plain: Any, chance: random.Random) -> None:
    at = chance.choice(list(places(plain)))
    part, key = holder(plain, at), at[-1]
    how = chance.choice(["number", "odd", "drop", "twice", "empty"])
    if how == "drop":
        del part[key]
    elif how == "twice" and isinstance(part, list):
        part.insert(key, copy.deepcopy(part[key]))
    elif how == "empty" and isinstance(part[key], list | dict):
        part[key] = type(part[key])()
    else:
        part[key] = chance.choice(NUMBERS if how == "number" else ODD)


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_of_every_kind_are_shown_or_refused(kind: str, tmp_path: Path) -> None:
    plain, chance = document(kind, tmp_path), random.Random(kind)
    path, refused = tmp_path / "mutant.json", 0
    for _ in range(MUTANTS):
        mutant = copy.deepcopy(plain)
        mutate(mutant, chance)
        path.write_text(json.dumps(mutant))
        message = show(path)
        refused += message is not None
        assert message is None or 0 < len(message) < 2000
    assert 0 < refused < MUTANTS


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_text_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bytes.json"
    data = formats.load("json").render([small(kind, tmp_path)])
    quotes = [at for at, byte in enumerate(data) if byte == ord('"')]
    messages = []
    for at in quotes[:: max(1, len(quotes) // 25)]:
        path.write_bytes(data[: at + 1] + b"\xff\xfe" + data[at + 1 :])
        messages.append(show(path))
    assert any(messages)  # what is derived anew is not read
    assert not any(".py:" in message for message in messages if message)


def set_at(value: Any, path: str, new: Any) -> Any:
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    holder(value, tuple(keys))[keys[-1]] = new
    return value


@pytest.mark.parametrize(
    ("kind", "path", "new"),
    [
        ("depth", "models.0.recorded.points.0.timesteps", 0),
        ("depth", "models.0.work_law.coefficients", {"T^T": 1.0}),
        ("ranks", "ranks.ranks", []),
        ("history", "history.series.0.trends.0.points", []),
        ("diff", "differences.cases.0.metrics", []),
        ("run", "recording.spec.model.config", "large"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(
    kind: str, path: str, new: Any, tmp_path: Path
) -> None:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(set_at(document(kind, tmp_path), path, new)))
    message = show(file)
    assert message is not None
    assert "is damaged" not in message  # the last net
    assert path.split(".")[-2] in message


def test_the_smallest_number_there_is_is_drawn() -> None:
    assert len(sparkline([5e-324, 0.0, None])) == 3
