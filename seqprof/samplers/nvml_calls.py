"""Calling NVML: every call is named while it runs, and every failure becomes words.

Used by the sampler process (``nvml.py``) and by the one-off look of ``seqprof doctor``
(``probe.py``). Only these two processes call anything here, since any NVML call may hang.
"""

from __future__ import annotations

import importlib
import re
import time
from types import ModuleType
from typing import Any

PCI_BUS_ID = re.compile(r"^(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F]$")

# Codes of nvml.h (nvmlReturn_t).
UNINITIALIZED = 1
NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
OPERATING_SYSTEM = 17
LIBRARY_MISMATCH = 18
NO_DATA = 21
VERSION_MISMATCH = 25
DEPRECATED = 26
GPU_NOT_FOUND = 28
UNKNOWN = 999

#: This driver or device has no such thing. Nothing went wrong.
LACKING = frozenset({NOT_SUPPORTED, FUNCTION_NOT_FOUND, VERSION_MISMATCH, DEPRECATED})
#: The same call may well succeed next time: timeout, interrupt, in use, no data, resources, not
#: ready.
TRANSIENT = frozenset({10, 11, 19, 20, NO_DATA, 23, 27})
#: No call will succeed any more.
LOST = frozenset({GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND})
FATAL = LOST | {UNINITIALIZED, DRIVER_NOT_LOADED, OPERATING_SYSTEM, LIBRARY_MISMATCH, UNKNOWN}

_REMEDIES = {
    NO_PERMISSION: "ask for access to the device files /dev/nvidia*; in a container, start it "
    "with this GPU and the capability 'utility' (NVIDIA_DRIVER_CAPABILITIES=compute,utility)",
    NOT_FOUND: "see `nvidia-smi -L` for the devices that the driver shows here; in a container, "
    "start it with this GPU",
    DRIVER_NOT_LOADED: "load the NVIDIA kernel module (`sudo modprobe nvidia`) and see whether "
    "`nvidia-smi` works",
    LIBRARY_NOT_FOUND: "install the NVIDIA driver, which brings libnvidia-ml.so.1; in a "
    "container, start it with `--gpus all` and the capability 'utility'; on WSL, put "
    "/usr/lib/wsl/lib on LD_LIBRARY_PATH",
    FUNCTION_NOT_FOUND: "install a newer NVIDIA driver",
    GPU_IS_LOST: "the GPU has fallen off the bus: see `dmesg | grep -i xid`, then reset it or "
    "restart the machine",
    RESET_REQUIRED: "reset the GPU (`nvidia-smi --gpu-reset`) or restart the machine",
    OPERATING_SYSTEM: "the operating system or its cgroup blocks the GPU: restart the container, "
    "and see `dmesg`",
    LIBRARY_MISMATCH: "the driver was upgraded while its old part is still in use: restart the "
    "machine (or the container, if only its library is old)",
    GPU_NOT_FOUND: "see `nvidia-smi -L` for the devices that the driver still shows",
    UNKNOWN: "in a container this follows a change of cgroups (`systemctl daemon-reload` on the "
    "host): restart the container; otherwise see `dmesg | grep -i nvrm`",
}
_WRONG_PACKAGE = (
    "`pip uninstall -y pynvml && pip install --force-reinstall nvidia-ml-py` (both install a "
    "module called pynvml; NVIDIA's own is nvidia-ml-py)"
)


class NvmlCallError(Exception):
    """A call that failed.

    Attributes:
        call: the name of NVML's function.
        code: NVML's return code; None when it never came to NVML.
        detail: what happened, in words.
    """

    def __init__(self, call: str, code: int | None, detail: str) -> None:
        super().__init__(f"{call}: {detail}")
        self.call = call
        self.code = code
        self.detail = detail

    @property
    def remedy(self) -> str | None:
        """What the user can do about it; None where nothing is known to help."""
        return None if self.code is None else _REMEDIES.get(self.code)

    @property
    def kind(self) -> str:
        """The kind of :class:`~seqprof.recording.Incident` that it makes."""
        return "gpu_lost" if self.code in LOST else "nvml_error"


class NvmlUnavailableError(Exception):
    """NVML cannot be used at all, as ``kind`` (of an incident), ``detail`` and ``remedy`` say."""

    def __init__(self, kind: str, detail: str, remedy: str | None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.remedy = remedy


class Nvml:
    """The NVML library. ``running`` says, for a watchdog, which call runs and since when."""

    def __init__(self) -> None:
        self.running: tuple[str, int] | None = None
        self._pynvml = import_pynvml()

    def call(self, name: str, *arguments: Any, c_name: str | None = None) -> Any:
        """Call pynvml's function ``name``. ``c_name``: what NVML calls it, where that differs.

        Raises:
            NvmlCallError: whatever went wrong.
        """
        shown = c_name or name
        self.running = (shown, time.monotonic_ns())
        try:
            return getattr(self._pynvml, name)(*arguments)
        except AttributeError as error:
            raise NvmlCallError(shown, FUNCTION_NOT_FOUND, f"pynvml lacks it ({error})") from error
        except self._pynvml.NVMLError as error:
            raise NvmlCallError(shown, error.value, f"{error} (code {error.value})") from error
        except Exception as error:  # an answer that pynvml cannot read must not end the sampler
            raise NvmlCallError(shown, None, f"{type(error).__name__}: {error}") from error
        finally:
            self.running = None

    def constant(self, name: str) -> Any:
        """A constant or structure of pynvml. Raises NvmlCallError where this pynvml lacks it."""
        try:
            return getattr(self._pynvml, name)
        except AttributeError as error:
            raise NvmlCallError(name, FUNCTION_NOT_FOUND, f"pynvml lacks {name}") from error

    def optional(self, name: str, *arguments: Any) -> Any:
        """As :meth:`call`, with None for any failure that is not the end of everything."""
        try:
            return self.call(name, *arguments)
        except NvmlCallError as failure:
            if failure.code in FATAL:
                raise
            return None


def import_pynvml() -> ModuleType:
    """Import nvidia-ml-py's module.

    Raises:
        NvmlUnavailableError: it is missing, or another package stands in its place. The ``pynvml``
            package up to version 11 is a folder with an old copy of the bindings; nvidia-ml-py is
            one file. (Version 12 and later of ``pynvml`` only depends on nvidia-ml-py.)
    """
    try:
        module = importlib.import_module("pynvml")
    except Exception as error:
        raise NvmlUnavailableError(
            "nvml_unavailable",
            f"nvidia-ml-py cannot be imported ({type(error).__name__}: {error})",
            "`pip install --force-reinstall nvidia-ml-py`",
        ) from error
    if hasattr(module, "__path__") or not hasattr(module, "NVMLError"):
        raise NvmlUnavailableError(
            "wrong_pynvml",
            f"another package called pynvml stands before nvidia-ml-py: {module.__file__}",
            _WRONG_PACKAGE,
        )
    return module


def initialize(nvml: Nvml) -> None:
    """Load and start the library. Raises NvmlUnavailableError."""
    try:
        nvml.call("nvmlInit", c_name="nvmlInitWithFlags")
    except NvmlCallError as failure:
        raise unavailable(failure) from failure


def unavailable(failure: NvmlCallError) -> NvmlUnavailableError:
    """What a failure means where nothing can go on without the call."""
    kind = failure.kind if failure.code in LOST else "nvml_unavailable"
    return NvmlUnavailableError(kind, str(failure), failure.remedy)


def find_device(nvml: Nvml, identity: str) -> Any:
    """Find a device's handle by its UUID (``GPU-…``, ``MIG-…``) or its PCI bus id.

    Never by index: NVML's order is neither CUDA's nor that of CUDA_VISIBLE_DEVICES. CUDA gives the
    UUID of a MIG instance without saying that it is one, so ``GPU-x`` may be NVML's ``MIG-x``.

    Raises:
        NvmlUnavailableError: no such device, or no permission.
    """
    if PCI_BUS_ID.match(identity):
        attempts = [("nvmlDeviceGetHandleByPciBusId", identity)]
    else:
        attempts = [("nvmlDeviceGetHandleByUUID", identity)]
        if identity.startswith("GPU-"):
            attempts.append(("nvmlDeviceGetHandleByUUID", "MIG-" + identity.removeprefix("GPU-")))
    first: NvmlCallError | None = None
    for name, argument in attempts:
        try:
            return nvml.call(name, argument)
        except NvmlCallError as failure:
            first = first or failure
            if failure.code != NOT_FOUND:
                break
    assert first is not None
    if first.code == NOT_FOUND:
        first = NvmlCallError(
            first.call, NOT_FOUND, f"the driver shows no device {identity} (code 6)"
        )
    raise unavailable(first) from first


def mig_mode(nvml: Nvml, board: Any) -> bool | None:
    """Whether MIG is on for a board; None where it does not say (no MIG before Ampere)."""
    mode = nvml.optional("nvmlDeviceGetMigMode", board)
    return None if mode is None else bool(mode[0])
