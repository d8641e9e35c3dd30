"""A built-in model: entry, body, head."""

from __future__ import annotations

from torch import Tensor, nn

from seqprof.workloads.body import Body, State, detach_state

__all__ = ["SequenceModel", "detach_state"]


class SequenceModel(nn.Module):
    """Entry (embedding or linear), body, head."""

    def __init__(self, entry: nn.Module, body: Body, head: nn.Module) -> None:
        super().__init__()
        self.entry = entry
        self.body = body
        self.head = head

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> Tensor:
        """Return logits or predictions; see :meth:`forward_with_state`."""
        return self.forward_with_state(inputs, state, lengths, packed)[0]

    def forward_with_state(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """Return logits or predictions, and the final recurrent state.

        Args:
            inputs: ``[B, T]`` tokens or ``[B, T, F]`` numbers.
            state: what an earlier call returned; None starts from zeros.
            lengths: ``[B]`` on the CPU; None where all sequences have T timesteps.
            packed: leave padding out of the recurrent computation.
        """
        outputs, final = self.body(self.entry(inputs), state, lengths, packed)
        return self.head(outputs, lengths), final
