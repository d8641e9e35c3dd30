"""One look at every GPU, for ``seqprof doctor``, from a process of its own that may hang.

``look()`` starts ``python -m seqprof.samplers.probe``, which prints a :class:`Look` as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import msgspec

from seqprof.samplers.device import module_command
from seqprof.samplers.nvml_calls import (
    Nvml,
    NvmlCallError,
    NvmlUnavailableError,
    initialize,
    mig_mode,
)

#: The probe gives up on a hanging call after this long; it is killed a little later at the latest.
PROBE_S = 4.0
_GRACE_S = 2.0
_HANG_REMEDY = "see whether `nvidia-smi` hangs too, and `dmesg | grep -i nvrm`; restart the machine"


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as NVML sees it now; None where it does not say."""

    index: int
    uuid: str | None = None
    name: str | None = None
    mig: bool | None = None
    pids: list[int] | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    clock_event_reasons: int | None = None
    temperature_c: int | None = None
    failure: str | None = None
    remedy: str | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """All that NVML says now, or why it says nothing (``kind`` is an incident's)."""

    driver: str | None = None
    nvml: str | None = None
    gpus: list[Gpu] = []
    kind: str | None = None
    detail: str | None = None
    remedy: str | None = None


def look() -> Look:
    """Ask NVML about every GPU. Never raises for what NVML does; takes 6 s at most."""
    command = module_command("seqprof.samplers.probe")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S + _GRACE_S
        )
        return msgspec.json.decode(done.stdout, type=Look)
    except subprocess.TimeoutExpired:
        return Look(kind="nvml_hang", detail="NVML did not answer", remedy=_HANG_REMEDY)
    except (OSError, msgspec.MsgspecError) as error:
        return Look(kind="nvml_unavailable", detail=f"the probe of NVML failed: {error}")


def _survey(nvml: Nvml) -> Look:
    initialize(nvml)
    count = nvml.call("nvmlDeviceGetCount", c_name="nvmlDeviceGetCount_v2")
    return Look(
        driver=nvml.optional("nvmlSystemGetDriverVersion"),
        nvml=nvml.optional("nvmlSystemGetNVMLVersion"),
        gpus=[_gpu(nvml, index) for index in range(count)],
    )


def _gpu(nvml: Nvml, index: int) -> Gpu:
    """One GPU; one that is counted may still refuse its handle, or be lost."""
    try:
        return _describe(nvml, index)
    except NvmlCallError as error:
        return Gpu(index=index, failure=str(error), remedy=error.remedy)


def _describe(nvml: Nvml, index: int) -> Gpu:
    handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
    ask = nvml.optional
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if reasons is None:
        reasons = ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    temperature = ask("nvmlDeviceGetTemperatureV", handle, 0)
    if temperature is None:
        temperature = ask("nvmlDeviceGetTemperature", handle, 0)
    return Gpu(
        index=index,
        uuid=ask("nvmlDeviceGetUUID", handle),
        name=ask("nvmlDeviceGetName", handle),
        mig=mig_mode(nvml, handle),
        pids=_pids(nvml, handle),
        sm_clock_mhz=ask("nvmlDeviceGetClockInfo", handle, 1),
        sm_clock_max_mhz=ask("nvmlDeviceGetMaxClockInfo", handle, 1),
        clock_event_reasons=reasons,
        temperature_c=temperature,
    )


def _pids(nvml: Nvml, handle: Any) -> list[int] | None:
    processes = nvml.optional("nvmlDeviceGetComputeRunningProcesses", handle)
    # The probe computes nothing; where it is listed, it is not one of the others.
    return None if processes is None else [p.pid for p in processes if p.pid != os.getpid()]


def _print(result: Look) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(result))
    sys.stdout.buffer.flush()


def _give_up(nvml: Nvml) -> None:
    call = nvml.running[0] if nvml.running else "NVML"
    detail = f"{call} did not answer for {PROBE_S:.0f} s"
    _print(Look(kind="nvml_hang", detail=detail, remedy=_HANG_REMEDY))
    os._exit(0)


def main() -> None:
    """Print one look as JSON."""
    try:
        nvml = Nvml()
        timer = threading.Timer(PROBE_S, _give_up, args=(nvml,))
        timer.daemon = True
        timer.start()
        result = _survey(nvml)
        timer.cancel()
    except NvmlUnavailableError as error:
        result = Look(kind=error.kind, detail=error.detail, remedy=error.remedy)
    except NvmlCallError as error:
        result = Look(kind=error.kind, detail=str(error), remedy=error.remedy)
    _print(result)


if __name__ == "__main__":
    main()
