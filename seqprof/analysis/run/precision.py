"""What "fp32" meant on this device: tensor cores may have rounded it to TF32."""

from __future__ import annotations

from seqprof.recording import Environment, Workload

TF32 = "tf32"
#: torch's switches, as the recording names them.
MATMUL, CONVOLUTION, RECURRENT = "cuda.matmul", "cudnn.conv", "cudnn.rnn"


def in_tf32(workload: Workload, environment: Environment) -> str | None:
    """Return which part of an fp32 step ran in TF32, in words; None where none did.

    cuDNN takes TF32 for recurrent layers and convolutions by default, cuBLAS does not: so a fused
    recurrence and a loop over cells in "fp32" differ in their arithmetic as well.
    """
    if workload.precision != "fp32":
        return None
    switches = environment.fp32_precision
    if switches.get(MATMUL) == TF32:
        return "matrix products (cuBLAS)"
    if workload.execution == "fused" and switches.get(RECURRENT) == TF32:
        return "recurrent layers (cuDNN)"
    if workload.family == "tcn" and switches.get(CONVOLUTION) == TF32:
        return "convolutions (cuDNN)"
    return None
