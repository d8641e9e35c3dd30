"""Model FLOP/s over the device's peak, from vendors' datasheets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seqprof.analysis.run.precision import TF32, in_tf32
from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import Environment, Workload

METHOD = "analytic FLOPs of matrix products / step time / dense peak of the datasheet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Dense peak FLOP/s of one product; None where the product has no units for the precision.

    ``fp32`` is that of the ordinary cores. TF32 is a precision of its own, which torch takes for
    fp32 in cuDNN, but not in cuBLAS, unless it is told otherwise. ``fp16`` and ``bf16`` are tensor
    cores accumulating in fp32.
    """

    name: str
    fp32: float
    fp16: float | None
    bf16: float | None
    tf32: float | None


def _peak(name: str, fp32: float, half: float, tf32: float | None = None) -> Peak:
    """TFLOP/s; a product without TF32 (before Ampere) has no bf16 either."""
    return Peak(
        name=name,
        fp32=fp32 * 1e12,
        fp16=half * 1e12,
        bf16=half * 1e12 if tf32 else None,
        tf32=tf32 * 1e12 if tf32 else None,
    )


#: The first whose pattern is found in the device's name; TFLOP/s without sparsity.
PEAKS = (
    _peak(r"H200", 66.9, 989.5, 494.7),
    _peak(r"H100 PCIe", 51.2, 756.0, 378.0),
    _peak(r"H100", 66.9, 989.5, 494.7),
    _peak(r"A100", 19.5, 312.0, 156.0),
    _peak(r"A30", 10.3, 165.0, 82.0),
    _peak(r"V100S-PCIE", 16.4, 130.0),
    _peak(r"V100-PCIE", 14.0, 112.0),
    _peak(r"V100-SXM2", 15.7, 125.0),
    _peak(r"T4", 8.1, 65.0),
    _peak(r"A10", 31.2, 125.0, 62.5),
    _peak(r"A40", 37.4, 149.7, 74.8),
    _peak(r"RTX A6000", 38.7, 154.8, 77.4),
    _peak(r"L4", 30.3, 121.0, 60.0),
    _peak(r"L40S", 91.6, 362.0, 183.0),
    _peak(r"L40", 90.5, 181.0, 90.5),
    _peak(r"RTX 3090", 35.6, 71.0, 35.6),
    _peak(r"RTX 4090", 82.6, 165.2, 82.6),
)
#: With these words the name is that of another product, whose peak is not in the table.
_OTHER_PRODUCT = re.compile(r"\b(Ti|SUPER|Laptop|Max-Q|NVL|D)\b", re.IGNORECASE)


def find_peak(name: str) -> Peak | None:
    """Return the peak of the product with this name; None when it is not in the table."""
    if _OTHER_PRODUCT.search(name):
        return None
    return next((p for p in PEAKS if re.search(rf"\b{p.name}\b", name, re.IGNORECASE)), None)


def model_flops_utilization(
    workload: Workload, environment: Environment, step: Estimate, *, mig: bool
) -> Estimate:
    """Return model FLOP/s over the peak of the precision that was used, or null with the reason.

    Where a part of an fp32 step ran in TF32, the peak is TF32's, the higher one: what the rest did
    in fp32 counts for less than it is, so that the figure cannot pass 100 %.
    """
    device = environment.device
    if not device.is_accelerator:
        return missing("1", METHOD, "no accelerator")
    if mig:
        return missing("1", METHOD, "a MIG slice has only a part of the device's peak")
    peak = find_peak(device.name)
    rounded = in_tf32(workload, environment) if peak is not None and peak.tf32 else None
    precision = TF32 if rounded else workload.precision
    ceiling = getattr(peak, precision, None)
    if peak is None or ceiling is None:
        known = f"no {workload.precision} peak is known for {device.name}"
        return missing("1", METHOD, known)
    if workload.flops_per_step is None:
        return missing("1", METHOD, workload.flops_reason or "FLOPs are not known for this model")
    if not step.value:
        return missing("1", METHOD, step.reason or "no step was measured")
    rate = workload.flops_per_step / ceiling
    return Estimate(
        value=rate / step.value,
        low=rate / step.high if step.high else None,
        high=rate / step.low if step.low else None,
        unit="1",
        method=f"{METHOD} ({ceiling / 1e12:g} TFLOP/s {precision}"
        + (f", as {rounded} ran in it)" if rounded else ")"),
        n=step.n,
    )
