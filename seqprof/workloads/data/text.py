"""Real text, byte by byte."""

from __future__ import annotations

import sysconfig
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Generator, Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch, Data, DataFacts
from seqprof.workloads.data.files import decode, marked_encoding, read_bytes
from seqprof.workloads.data.lengths import Lengths, pad
from seqprof.workloads.prediction import effective_head

VOCABULARY = 256
#: A corpus is read into memory up to this size; the description says where it was cut.
MAX_BYTES = 64 * 2**20
MAX_CLASSES = 16
#: A file with a NUL byte this early is taken for binary, as git and grep do.
_PROBE_BYTES = 8192
#: Of the standard library's folder: what is not the library itself.
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Corpus:
    """Text from one or more files, one after the other.

    Attributes:
        text: ``[N]`` uint8.
        groups: first position and length of what came from each file or subfolder at the top.
        description: where it came from.
    """

    text: Tensor
    groups: dict[str, tuple[int, int]]
    description: str


def open_text(spec: Spec, folder: Path) -> Data:
    """Return language modelling or classification on ``data.path``.

    Raises:
        SeqprofError: there is no text, or too little for one sequence, or a head it cannot serve.
    """
    head = effective_head(spec)
    if head == "regression":
        raise SeqprofError(
            "model.head: regression needs numeric targets; text has none",
            "use language_model or classification, or data.kind: csv",
        )
    corpus = read_corpus(spec.data.path, folder, spec.data.encoding)
    if head == "classification":
        return ClassifiedText(spec, corpus)
    return TextData(spec, corpus)


class TextData:
    """Windows of a corpus; the target of each byte is the next one."""

    def __init__(self, spec: Spec, corpus: Corpus) -> None:
        self._spec, self._corpus, self._lengths = spec.data, corpus, Lengths(spec.data)
        self._seed, self._stream = spec.train.seed, bool(spec.train.bptt.carry)
        if len(corpus.text) <= spec.data.seq_len:
            raise SeqprofError(
                f"data.path: {corpus.description} has {len(corpus.text):,} bytes, too few for "
                f"sequences of {spec.data.seq_len} timesteps and their targets",
                "lower data.seq_len or give more text",
            )
        self.facts = DataFacts(
            f"{corpus.description}, next byte, {self._lengths.describe()}"
            + (", batch after batch" if self._stream else ""),
            vocabulary=VOCABULARY,
            classes=VOCABULARY,
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        window, last = torch.arange(timesteps + 1), len(self._corpus.text) - timesteps
        starts = torch.arange(batch_size).unsqueeze(1) * (last // batch_size)
        while True:
            if not self._stream:
                starts = torch.randint(last, (batch_size, 1), generator=generator)
            tokens = self._corpus.text[starts + window].long()
            lengths = self._lengths.draw(batch_size, generator)
            yield pad(Batch(tokens[:, :-1], tokens[:, 1:]), lengths, self._lengths.packed)
            starts = (starts + timesteps) % last  # of a stream: each row goes on where it ended


class ClassifiedText:
    """Windows of a corpus; the target is the file or subfolder each came from."""

    def __init__(self, spec: Spec, corpus: Corpus) -> None:
        self._spec, self._corpus, self._lengths = spec.data, corpus, Lengths(spec.data)
        self._seed = spec.train.seed
        fitting = {n: g for n, g in corpus.groups.items() if g[1] >= spec.data.seq_len}
        largest = sorted(fitting, key=lambda name: fitting[name][1], reverse=True)[:MAX_CLASSES]
        names = sorted(largest)
        if len(names) < 2:
            raise SeqprofError(
                f"data.path: classification needs at least 2 files or subfolders of "
                f"{spec.data.seq_len} bytes or more; {corpus.description} has {len(names)}",
                "give a folder with more text, or set model.head: language_model",
            )
        self._starts = torch.tensor([fitting[name][0] for name in names])
        self._sizes = torch.tensor([fitting[name][1] for name in names])
        self.facts = DataFacts(
            f"{corpus.description}, which of {len(names)} sources ({', '.join(names)}), "
            f"{self._lengths.describe()}",
            vocabulary=VOCABULARY,
            classes=len(names),
            per_timestep=False,
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        window = torch.arange(timesteps)
        while True:
            labels = torch.randint(len(self._sizes), (batch_size,), generator=generator)
            room = self._sizes[labels] - timesteps + 1
            offsets = (
                torch.rand(batch_size, generator=generator, dtype=torch.float64) * room
            ).long()
            starts = self._starts[labels] + offsets
            inputs = self._corpus.text[starts.unsqueeze(1) + window].long()
            lengths = self._lengths.draw(batch_size, generator)
            yield pad(Batch(inputs, labels), lengths, self._lengths.packed)


@lru_cache(maxsize=1)
def read_corpus(path: str | None, folder: Path, encoding: str | None = None) -> Corpus:
    """Read a file, a folder's text files, or (``path`` None) the standard library's sources.

    The last one is kept: `scale` opens the same text at every size.

    Raises:
        SeqprofError: the path does not exist, cannot be read, or holds no text.
    """
    if path is None:
        root = Path(sysconfig.get_path("stdlib"))
        return _join(root, _library_sources(root), "Python standard library sources")
    root = folder / Path(path).expanduser()
    if root.is_file():
        return _join(root.parent, [root], root.name, encoding)
    if not root.is_dir():
        raise SeqprofError(f"data.path: no file or folder {root}", _near(root))
    files = sorted(
        file
        for file in root.rglob("*")
        if not any(part.startswith(".") for part in file.relative_to(root).parts) and file.is_file()
    )
    return _join(root, files, f"{root.name}/", encoding)


def _near(missing: Path) -> str | None:
    import difflib

    if not missing.parent.is_dir():
        return "paths are relative to the config file"
    names = [entry.name for entry in missing.parent.iterdir()]
    near = difflib.get_close_matches(missing.name, names, n=1)
    return f"did you mean {near[0]}?" if near else "paths are relative to the config file"


def _library_sources(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*.py")
        if not _NOT_LIBRARY.intersection(path.relative_to(root).parts)
    )


def _join(root: Path, files: list[Path], description: str, encoding: str | None = None) -> Corpus:
    text = bytearray()
    groups: dict[str, tuple[int, int]] = {}
    cut = False
    for file in files:
        content = _read_text(file, MAX_BYTES - len(text) + 1, encoding)
        cut = len(text) + len(content) > MAX_BYTES
        content = content[: MAX_BYTES - len(text)]
        if content:
            name = file.relative_to(root).parts[0]
            first, size = groups.get(name, (len(text), 0))
            groups[name] = first, size + len(content)
            text += content
        if cut:
            break
    if not text:
        raise SeqprofError(
            f"data.path: there is no text in {description}",
            "files with a zero byte are taken for binary; for UTF-16 without a mark set "
            "data.encoding: utf-16-le",
        )
    megabytes = f"the first {MAX_BYTES / 1e6:.0f} MB" if cut else f"{len(text) / 1e6:.1f} MB"
    return Corpus(torch.frombuffer(text, dtype=torch.uint8), groups, f"{description} ({megabytes})")


def _read_text(file: Path, limit: int, encoding: str | None) -> bytes:
    """Return the text of ``file`` as bytes: UTF-8 where its encoding is known, else as it stands.

    Nothing of a file that is not text.
    """
    content = read_bytes(file, limit)
    known = encoding or marked_encoding(content)
    if known in (None, "utf-8", "utf-8-sig"):
        return b"" if b"\0" in content[:_PROBE_BYTES] else content.removeprefix(BOM_UTF8)
    return decode(content, file, known)[0].encode()
