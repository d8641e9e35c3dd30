"""The trace files of a folder, one or several ranks each, digested one by one or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from seqprof.analysis.timeline.ranks import Digest, RanksSummary, beside, digests
from seqprof.errors import SeqprofError

_ENDINGS = (".json", ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")
#: Files that are handed to workers before the first of them is done, per worker.
_AHEAD = 2

Answer = tuple[str, list[Digest], str | None]


def files_of(folder: Path) -> list[Path]:
    """The traces of a folder, in order of name.

    Raises:
        SeqprofError: there is none.
    """
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_ENDINGS))
    if not files:
        raise SeqprofError(f"{folder} holds no trace", "give a folder of .json or .json.gz files")
    return files


def digest_file(path: str, partial: bool) -> Answer:
    """Read and digest one file; what is wrong with it instead, if it cannot be read."""
    from seqprof.traces.kineto import read_trace

    try:
        return path, digests(read_trace(Path(path), partial)), None
    except SeqprofError as error:
        return path, [], error.message


def read_folder(
    folder: Path, partial: bool = False, jobs: int = 1, cluster: str | None = None
) -> RanksSummary:
    """Digest every trace of ``folder`` and set its ranks side by side.

    Args:
        folder: of one file per rank.
        partial: use the whole events of damaged files.
        jobs: processes that read at the same time.
        cluster: address of a Dask scheduler whose workers see the same folder.

    Raises:
        SeqprofError: nothing could be read, or there is no such cluster.
    """
    paths = [str(path.absolute()) for path in files_of(folder)]
    if cluster is not None:
        answers = _on_cluster(paths, partial, cluster)
    elif jobs > 1:
        answers = _in_processes(paths, partial, jobs)
    else:
        answers = (digest_file(path, partial) for path in paths)
    digests: list[Digest] = []
    failed: list[str] = []
    for _, digested, reason in answers:
        digests += digested
        failed += [] if reason is None else [reason]
    if not digests:
        raise SeqprofError(f"no trace of {folder} could be read: {failed[0]}")
    return beside(folder.name or str(folder), digests, sorted(failed))


def _in_processes(paths: list[str], partial: bool, jobs: int) -> Iterator[Answer]:
    # Spawned: a fork would copy the threads' locks of this process.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from _bounded(
            paths, jobs * _AHEAD, lambda path: pool.submit(digest_file, path, partial)
        )


def _bounded(
    paths: Iterable[str], most: int, submit: Callable[[str], Future[Answer]]
) -> Iterator[Answer]:
    """Keep at most ``most`` files under way."""
    waiting: set[Future[Answer]] = set()
    for path in paths:
        waiting.add(submit(path))
        if len(waiting) >= most:
            done = next(as_completed(waiting))
            waiting.discard(done)
            yield done.result()
    for done in as_completed(waiting):
        yield done.result()


def _on_cluster(paths: list[str], partial: bool, address: str) -> Iterator[Answer]:
    try:
        from distributed import Client
    except ImportError as error:
        raise SeqprofError(
            "--on needs Dask, which is not installed", "pip install 'seqprof[dask]'"
        ) from error
    scheduler = "tcp://" + address.removeprefix("dask://").removeprefix("tcp://")
    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SeqprofError(
            f"no Dask scheduler answers at {address} ({error or type(error).__name__})",
            "start one: dask scheduler; dask worker ADDRESS",
        ) from error
    with client:
        futures = client.map(digest_file, paths, partial=partial, pure=False)
        for future in futures:
            yield future.result()
