"""What to do about a caveat where the loop is the user's own: no spec has settings for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from seqprof.analysis.run.caveats.caveat import Case, Caveat

#: Every second step of a window is bounded, and gives headline times.
_STEPS_A_HEADLINE = 2
_FEWER_THREADS = "give the script fewer threads than there are cores (OMP_NUM_THREADS)"


def of_foreign_loop(case: Case, caveat: Caveat) -> Caveat:
    """Return the caveat with what helps in a script of the user's."""
    remedy = REMEDIES.get(caveat.kind)
    return caveat if remedy is None else replace(caveat, remedy=remedy(case))


def _raise(name: str) -> Callable[[Case], str]:
    return lambda case: f"raise {option(case, name)} (now {_value(case, name)})"


def option(case: Case, name: str) -> str:
    """Name an option as the measurement was started: on a command line or in code."""
    return f"--{name}" if case.recording.command.startswith("seqprof exec") else f"{name}="


def _value(case: Case, name: str) -> object:
    return case.recording.spec.get("attach", {}).get(name, "the default")


def _more_steps(case: Case) -> str:
    wanted = 2 * _STEPS_A_HEADLINE * case.findings.step.n
    return (
        "measure longer, or where fewer other programs run: more "
        f"steps ({option(case, 'steps')}, {wanted} or more)"
    )


#: kind of a caveat → what to do, where that for a workload of ours names a setting of its spec.
REMEDIES: dict[str, Callable[[Case], str]] = {
    "high_variation": lambda case: f"close other programs, or {_raise('steps')(case)}",
    "drift": lambda case: (
        f"{_raise('warmup')(case)}; look for a device that gets hot, or load that comes and goes"
    ),
    "warmup_not_over": _raise("warmup"),
    "involuntary_switches": lambda _case: f"{_FEWER_THREADS}, or stop other programs",
    "threads": lambda _case: _FEWER_THREADS,
    "contended": lambda _case: f"stop the other programs, or {_FEWER_THREADS}",
    "crowded": lambda _case: _FEWER_THREADS,
    "dependent": _more_steps,
    "few_pairs": lambda case: f"{_raise('steps')(case)}, or let the script run longer",
    "clock_changed": lambda case: (
        f"{_raise('warmup')(case)}, or lock the clocks (`nvidia-smi --lock-gpu-clocks`)"
    ),
    "other_processes": lambda _case: "use a free device (CUDA_VISIBLE_DEVICES)",
    "perturbation": lambda case: (
        "mark fewer timesteps at once: a smaller share in " + option(case, "budget")
    ),
    "stride": lambda case: (
        f"for more measurements of each timestep {_raise('steps')(case)}, or "
        f"allow marks a larger share of a step ({option(case, 'budget')})"
    ),
    "coarse_timer": lambda _case: "read medians over many timesteps only",
    "coarse_cpu_clock": lambda _case: "read it for the whole step",
    "launch_bound_unknown": lambda _case: (
        "let the script run on: steps after the window are profiled for a kernel timeline"
    ),
    "launch_bound": lambda _case: (
        "let one call handle the sequence (nn.LSTM, nn.GRU), take a larger batch, or CUDA graphs"
    ),
    "profile_quality": lambda _case: "measure again; steps after the window are profiled",
    "watching_failed": lambda _case: "report it with the script's loop; the script itself ran on",
}
