"""How far `seqprof exec` is from the clocks that scripts keep of themselves, in the same run.

::

    OMP_NUM_THREADS=1 python benchmarks/attach_truth.py SCRIPTS [NAME…]

``SCRIPTS`` holds training scripts that write their own phases, step by step, to the file that
``TRUTH`` names, and end with a line ``final loss …``. Each runs once alone and once watched. Per
script: whether counts, T, timestep module, loss, output and exit code are exact; of each phase the
share of steps within 3 % or 50 µs of the script's clock, whichever is larger, and the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from seqprof import store
from seqprof.recording import LoopIteration, Recording

#: A phase of one step agrees within this share or this many seconds, a median within that share.
SHARE, SECONDS, MEDIAN_SHARE = 0.03, 50e-6, 0.02
_FIVE = ("data", "forward", "loss", "backward", "optimizer", "other")


@dataclass(frozen=True)
class Case:
    """A script, its arguments, and the phases that its clocks and events define alike."""

    name: str
    command: tuple[str, ...]
    phases: tuple[str, ...] = _FIVE
    ranks: int = 1
    environment: dict[str, str] = field(default_factory=dict)


def _python(script: str, *args: str, **options: Any) -> Case:
    name = " ".join([script.removesuffix(".py"), *args])
    return Case(name, (sys.executable, script, *args), **options)


_RANKS = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
CASES = (
    _python("plain_lstmcell.py"),
    _python("padded_gru.py"),
    _python("tbptt_stateful.py"),
    _python("accumulate_amp.py"),
    _python("accumulate_amp.py", "--scaler"),
    # Before the first closure LBFGS has work of its own that no event bounds.
    _python("lbfgs_closure.py"),
    _python("rl_recurrent.py", phases=("rollout", *_FIVE[1:])),
    _python("custom_loop_no_module.py", phases=("backward", "optimizer")),
    _python("custom_loop_no_module.py", "--as-module"),
    _python("custom_loop_no_module.py", "--by-hand", phases=("backward",)),
    # Lightning announces its boundaries by callbacks: only these two lie at an event.
    _python("lightning_module.py", phases=("forward", "backward")),
    Case("ddp_gloo (2 ranks)", (*_RANKS, "ddp_gloo.py"), ranks=2),
    _python("failing.py"),
    Case("-m package.train", (sys.executable, "-m", "package.train")),
)


@dataclass(frozen=True)
class Outcome:
    """One watched run beside one alone."""

    alone: subprocess.CompletedProcess[str]
    watched: subprocess.CompletedProcess[str]
    pairs: list[tuple[Recording, dict[str, Any]]]


def run(case: Case, folder: Path) -> Outcome:
    """Run a case alone and watched; its recordings beside the truths of the same run."""
    environment = {**os.environ, **case.environment}
    with tempfile.TemporaryDirectory() as scratch:
        truth, out = Path(scratch) / "truth", Path(scratch) / "out"
        options: Any = {"cwd": folder, "capture_output": True, "text": True, "timeout": 240}
        alone = subprocess.run(case.command, env=environment, check=False, **options)
        watched = subprocess.run(
            [sys.executable, "-m", "seqprof", "exec", "-o", str(out), "--", *case.command],
            env={**environment, "TRUTH": str(truth)}, check=False, **options,
        )  # fmt: skip
        truths = [truth] if case.ranks == 1 else [Path(f"{truth}.rank{r}") for r in range(2)]
        pairs = [
            (store.load(out / f"rank{rank}.json"), json.loads(path.read_text()))
            for rank, path in enumerate(truths)
            if (out / f"rank{rank}.json").exists() and path.exists()
        ]
    return Outcome(alone, watched, pairs)


def wrong(case: Case, outcome: Outcome) -> Iterator[str]:
    """What is not exact."""
    alone, watched = outcome.alone, outcome.watched
    if alone.returncode != watched.returncode:
        yield f"exit code {watched.returncode} for {alone.returncode}"
    if case.ranks == 1 and alone.stdout != watched.stdout:
        yield "standard output"
    if len(outcome.pairs) != case.ranks:
        yield f"{len(outcome.pairs)} recordings for {case.ranks}"
    for recording, truth in outcome.pairs:
        if f"final loss {truth['final_loss']!r}" not in alone.stdout:
            yield "loss"
        yield from wrong_counts(recording, truth)


def wrong_counts(recording: Recording, truth: dict[str, Any]) -> Iterator[str]:
    """Counts, T and the timestep module that are not the truth's."""
    loop = recording.trials[0].loop
    assert loop is not None
    done = [iteration for iteration in loop.iterations if iteration.finished]
    counts = {
        "steps": len(done),
        "iterations": sum(iteration.rounds for iteration in done),
        "optimizer_steps": sum(iteration.updates for iteration in done),
        "skipped_steps": sum(iteration.skipped for iteration in done),
        "eval_batches": loop.evaluation_batches,
    }
    for name, count in counts.items():
        if count != truth[name]:
            yield f"{name} {count} for {truth[name]}"
    given = truth["T"] if isinstance(truth["T"], list) else [truth["T"]] * len(done)
    off = [i for i, (it, t) in enumerate(zip(done, given, strict=False)) if {*it.timesteps} != {t}]
    if off:
        yield f"T of steps {off[:4]}{'…' if len(off) > 4 else ''} ({len(off)})"
    module = truth["timestep_module"]
    modules = () if module is None else (module,) if isinstance(module, str) else tuple(module)
    if loop.timestep_modules != modules:
        yield f"timestep module {loop.timestep_modules} for {modules}"


@dataclass(frozen=True)
class Agreement:
    """Of one phase: share of steps that agree, the worst, and the medians."""

    phase: str
    within: float
    worst: str
    medians: tuple[float, float]

    @property
    def agrees(self) -> bool:
        ours, truth = self.medians
        return abs(ours - truth) <= max(MEDIAN_SHARE * truth, SECONDS)


def agreement(case: Case, recording: Recording, truth: dict[str, Any]) -> Iterator[Agreement]:
    """Hold each phase of each step against the script's clock; the warm-up is left out."""
    loop = recording.trials[0].loop
    assert loop is not None
    done = [iteration for iteration in loop.iterations if iteration.finished]
    rows = [
        (index, iteration, row)
        for index, (iteration, row) in enumerate(zip(done, truth["rows"], strict=False))
        if iteration.kind != "warmup"
    ]
    for phase in case.phases:
        if rows and any(phase in row for _, _, row in rows):
            yield _phase(phase, rows)


def _phase(phase: str, rows: list[tuple[int, LoopIteration, dict[str, float]]]) -> Agreement:
    pairs = [(i, it.phases_s.get(phase, 0.0), row.get(phase, 0.0)) for i, it, row in rows]
    beyond = [(abs(a - b) / max(SHARE * b, SECONDS), i, a, b) for i, a, b in pairs]
    far, index, ours, truth = max(beyond)
    return Agreement(
        phase,
        sum(far <= 1 for far, *_ in beyond) / len(beyond),
        "" if far <= 1 else f"step {index}: {ours * 1e6:.0f} for {truth * 1e6:.0f} µs",
        (median(a for _, a, _ in pairs), median(b for *_, b in pairs)),
    )


def show(case: Case, outcome: Outcome) -> None:
    """Print one script."""
    faults = list(wrong(case, outcome))
    print(f"{case.name}: exact {'ok' if not faults else '; '.join(faults)}")
    for recording, truth in outcome.pairs:
        for phase in agreement(case, recording, truth):
            ours, theirs = phase.medians
            verdict = "ok" if phase.agrees and phase.within == 1 else "short"
            print(
                f"  {phase.phase:9} {phase.within:7.1%} of steps  median {ours * 1e3:8.3f} "
                f"for {theirs * 1e3:8.3f} ms  {verdict} {phase.worst}",
                flush=True,
            )


def main() -> None:
    """Run the scripts and print a block for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scripts", type=Path)
    parser.add_argument("names", nargs="*", help="only scripts whose name begins so")
    args = parser.parse_args()
    for case in CASES:
        if not args.names or case.name.startswith(tuple(args.names)):
            show(case, run(case, args.scripts))


if __name__ == "__main__":
    main()
