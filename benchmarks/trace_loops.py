"""Random models recorded by torch.profiler: whether `seqprof trace` finds the loops they have.

::

    python benchmarks/trace_loops.py [--seeds 200] [--from 0] [--keep FOLDER] [--device cpu]

A seed draws a model (cells of torch and of its own, stacked, in sequence, in two directions,
encoders and decoders, samplers, packed and fused layers, convolutions, transformers; see
`trace_models.py`), how it is run (training with an optimizer, accumulation, truncated BPTT,
autocast, checkpoints, a DataLoader; or inference) and how it is recorded (stacks, shapes,
ProfilerStep). It counts, and names the seeds of all but the first::

right         T of each loop, forward and backward, and no loop that is none
cannot tell   nothing was claimed, and the report says that there may be timesteps
SILENT        nothing was claimed, and the report does not say so
INCOMPLETE    what was claimed is so, but a loop is missing
WRONG         something was claimed that is not so, or a figure is impossible
"""

from __future__ import annotations

import argparse
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from device_clock import add_device
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, schedule
from torch.utils.data import DataLoader
from trace_models import BATCH, HIDDEN, Draw

from seqprof.analysis.timeline.summary import DeviceSummary, summarise
from seqprof.traces.kineto import read_trace

OPTIMIZERS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (torch.optim.SGD, {}),
    (torch.optim.SGD, {"momentum": 0.9, "foreach": False}),
    (torch.optim.Adam, {}),
    (torch.optim.AdamW, {"foreach": False}),
    (torch.optim.RMSprop, {}),
)
WORDS = ("right", "cannot tell", "SILENT", "INCOMPLETE", "WRONG")
Verdict = tuple[str, str]


class Run:
    """A model, how it is run and how that is recorded, all by a seed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        any_of = random.Random(seed)
        torch.manual_seed(seed)
        choice = any_of.choice
        self.device, draw = device, Draw(any_of)
        self.training = choice([True, True, False])
        self.steps, self.warmup = choice([1, 2, 3]), choice([1, 2])
        self.stacks, self.shapes = choice([False, False, True]), choice([False, False, True])
        self.scheduled = choice([False, True])
        self.micro = choice([1, 1, 1, 2])
        self.chunks = choice([1, 1, 1, 3])
        self.autocast = choice([False] * 5 + [True]) and device.type != "sim"
        self.loader = choice(["made", "made", "made", "loader", "workers"])
        self.clips, self.varies = choice([False, True]), choice([False] * 4 + [True])
        self.inference_mode = choice([False, True])
        lengths = range(6, 34)
        first, equal = choice(lengths), choice([False, False, True])
        self.lengths = [
            (source, source if equal else choice(lengths))
            for source in (choice(lengths) if self.varies else first for _ in range(8))
        ]
        if not self.varies:
            self.lengths = [self.lengths[0]] * 8
        self.optimizer = choice(OPTIMIZERS)
        self.model = draw.model()
        self.model.modules.to(device)
        self.number = 0

    def __str__(self) -> str:
        steps = self.lengths[self.warmup : self.warmup + self.steps]
        words = [self.model.what, "train" if self.training else "infer"]
        words.append(",".join(f"{s}:{t}" for s, t in (steps if self.varies else steps[:1])))
        words.append(f"{self.steps} steps")
        for word in ("stacks", "shapes", "scheduled", "autocast"):
            words += [word] * getattr(self, word)
        if self.training:
            words += [f"micro {self.micro}"] * (self.micro > 1)
            words += [f"chunks {self.chunks}"] * (self.chunks > 1)
            words.append(self.optimizer[0].__name__)
        words += [self.loader] * (self.loader != "made")
        return " ".join(words)

    # Running --------------------------------------------------------------------------------

    def record(self, path: Path) -> None:
        """Run the steps and leave the trace of the last ones in ``path``."""
        cls, options = self.optimizer
        trained = [p for p in self.model.modules.parameters() if p.requires_grad]
        optimizer = cls(trained, lr=1e-3, **options) if trained else None
        activities = [ProfilerActivity.CPU]
        if self.device.type != "cpu":
            activities += [
                ProfilerActivity.PrivateUse1 if self.device.type == "sim" else ProfilerActivity.CUDA
            ]
        how: dict[str, Any] = {
            "activities": activities,
            "with_stack": self.stacks,
            "record_shapes": self.shapes,
        }
        if self.scheduled:
            how["schedule"] = schedule(wait=0, warmup=self.warmup, active=self.steps, repeat=1)
            how["on_trace_ready"] = lambda p: p.export_chrome_trace(str(path))
            with profile(**how) as profiler:
                for number in range(self.warmup + self.steps):
                    self.step(number, optimizer)
                    profiler.step()
            return
        for number in range(self.warmup):
            self.step(number, optimizer)
        with profile(**how) as profiler:
            for number in range(self.warmup, self.warmup + self.steps):
                self.step(number, optimizer)
        profiler.export_chrome_trace(str(path))

    def batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        source, target = self.lengths[number]
        rows = [
            (
                torch.randn(source * self.chunk_count, HIDDEN),
                torch.randn(target * self.chunk_count, HIDDEN),
            )
        ]
        if self.loader == "made":
            for _ in range(self.micros):
                yield tuple(part.unsqueeze(0).repeat(BATCH, 1, 1) for part in rows[0])  # type: ignore[misc]
            return
        workers = int(self.loader == "workers")
        data: Any = rows * BATCH * self.micros
        yield from DataLoader(data, BATCH, num_workers=workers)

    @property
    def chunk_count(self) -> int:
        return self.chunks if self.training else 1

    @property
    def micros(self) -> int:
        return self.micro if self.training else 1

    def step(self, number: int, optimizer: Any) -> None:
        x: Any
        y: Any
        if not self.training:
            with torch.inference_mode() if self.inference_mode else torch.no_grad(), self.cast():
                for x, y in self.batches(number):
                    self.model.loss(x.to(self.device), y.to(self.device))
            return
        source, target = self.lengths[number]
        optimizer.zero_grad()
        for x, y in self.batches(number):
            pairs = zip(x.split(source, 1), y.split(target, 1), strict=True)
            for part, other in pairs:
                with self.cast():
                    loss: Any = self.model.loss(part.to(self.device), other.to(self.device))
                loss.backward()
        if self.clips:
            nn.utils.clip_grad_norm_(self.model.modules.parameters(), 1.0)
        optimizer.step()

    def cast(self) -> Any:
        if not self.autocast:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    # Checking -------------------------------------------------------------------------------

    def verdict(self, path: Path) -> Verdict:
        summary = summarise(read_trace(path)).accounts[0]
        faults = list(self.broken(summary))
        phases = ("forward", "backward") if self.training else ("other",)
        verdicts = [self.of_phase(summary, phase) for phase in phases]
        said = "; ".join(text for _, text in verdicts)
        words = [word for word, _ in verdicts]
        if faults:
            return "WRONG", "; ".join([*faults, said])
        worst = max(words, key=WORDS.index)
        return worst, said

    def broken(self, summary: DeviceSummary) -> Iterator[str]:
        for one in summary.recurrences:
            if not 0 < one.coverage <= 1:
                yield f"coverage {one.coverage}"
            if len(one.latency_ns) != one.repeats:
                yield f"{len(one.latency_ns)} latencies for {one.repeats}"
            if min(one.latency_ns) < 0 or min(one.gap_ns) < 0:
                yield "a negative time"

    def of_phase(self, summary: DeviceSummary, phase: str) -> Verdict:
        ours = [one for one in summary.recurrences if one.phase == phase]
        recorded = self.lengths[self.warmup : self.warmup + self.steps]
        right = [self.model.loops(*each) for each in recorded]
        has = [one.repeats for one in ours for _ in range(one.loops)]
        said = (
            f"{phase} {'+'.join(map(str, has)) or None} of {right[0] if not self.varies else right}"
        )
        said += "".join(f" ({one.evidence})" for one in ours[:1])
        if not ours:
            reasons = [one for one in summary.not_recurrent if one.phase == phase]
            said += "".join(f" ({one.reason[:60]})" for one in reasons)
            if not right[0]:
                return "right", said
            open_ = self.model.may_be_silent or any(one.undecided for one in reasons)
            return ("cannot tell" if open_ else "SILENT"), said
        passes = self.steps if not self.training else self.steps * self.micros * self.chunk_count
        if self.varies:
            each = {length for loops in right for length in loops}
            listed = [set(one.repeats_by_pass) for one in ours]
            fits = bool(right[0]) and set().union(*listed) <= each
            return ("right" if fits else "WRONG"), f"{said} {listed}"
        wanted = sorted(right[0])
        fits = any(sorted(has) == sorted(wanted * times) for times in {1, passes})
        fits &= all(set(one.repeats_by_pass) == {one.repeats} for one in ours)
        if not fits and not Counter(has) - Counter(wanted * passes):
            return "INCOMPLETE", said
        return ("right" if fits else "WRONG"), said


def main() -> None:
    """Record and check the models of some seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--keep", type=Path, help="folder for the traces of wrong ones")
    parser.add_argument("--all", action="store_true", help="print the right ones too")
    add_device(parser)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.seeds):
            run, path = Run(seed, options.device), Path(folder) / "trace.json"
            run.record(path)
            word, said = run.verdict(path)
            count[word] += 1
            if word != "right" or options.all:
                print(f"{seed}: {word}: {run}: {said}", flush=True)
            if word.isupper() and options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                path.rename(options.keep / f"{seed}.json")
    print(", ".join(f"{count[word]} {word}" for word in WORDS))


if __name__ == "__main__":
    main()
