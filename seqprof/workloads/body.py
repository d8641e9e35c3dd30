"""What every built-in model has in its middle: a body that maps a sequence to a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqprof.errors import SeqprofError

#: A recurrent state: tensors, nested in tuples as the body likes.
State: TypeAlias = "tuple[Tensor | State, ...]"


@dataclass(frozen=True, slots=True)
class TimestepModule:
    """A submodule that is called exactly once per timestep.

    Attributes:
        path: where it is, as ``Module.get_submodule`` takes it.
        reverse: whether its first call in the forward is for the last timestep.
    """

    path: str
    reverse: bool = False


class Body(nn.Module):
    """Maps ``[B, T, input_size]`` to ``[B, T, output_size]``.

    Attributes:
        output_size: features per timestep that come out.
        carries_state: whether the returned state lets the next chunk of a sequence go on.
        checkpoint: set it to recompute activations in the backward instead of keeping them.
        reverse_features: how many of the last output features come from a chain that runs from
            the last timestep to the first, so that timestep 0 holds their summary.
        chunk: timesteps that a form in chunks takes at once; None in any other.
        sees_future: whether the output at t was found to depend on inputs after t where the family
            alone does not tell.
    """

    output_size: int
    carries_state: bool = False
    checkpoint: bool = False
    reverse_features: int = 0
    chunk: int | None = None
    sees_future: bool = False

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """Run the whole sequence.

        Args:
            inputs: ``[B, T, input_size]``.
            state: what an earlier call returned; None starts from zeros.
            lengths: ``[B]`` on the CPU; None where all sequences have T timesteps.
            packed: leave padding out of the computation (needs ``lengths``).

        Returns:
            Outputs ``[B, T, output_size]``, of no meaning at padding, and the final state, which is
            empty for a body without one.
        """
        raise NotImplementedError

    def run_block(self, block: nn.Module, *inputs: Any) -> Any:
        """Call ``block``, as ``checkpoint`` says: its inputs alone are kept, or all it computes."""
        if self.checkpoint:
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    def timestep_modules(self) -> tuple[TimestepModule, ...]:
        """Return the submodules called once per timestep, by paths within this body."""
        return ()

    def slow_paths(self) -> tuple[str, ...]:
        """Return what a library has said about slow code that it fell back to, if it did."""
        return ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int | None:
        """Return the FLOPs of the matrix products in one forward, or None where not known."""
        return None


def refuse_packed(packed: bool, family: str | None) -> None:
    """Raise :class:`SeqprofError` for packed sequences, in a family that computes on rectangles."""
    if packed:
        raise SeqprofError(
            f"data.lengths.layout: {family} takes no packed sequences",
            "set data.lengths.layout: padded",
        )


def detach_state(state: State) -> State:
    """Return ``state`` cut off from the graph that made it, for truncated BPTT."""
    return tuple(
        part.detach() if isinstance(part, Tensor) else detach_state(part) for part in state
    )
