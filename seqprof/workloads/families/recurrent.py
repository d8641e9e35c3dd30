"""RNN, LSTM (also projected) and GRU, as cells called once per timestep and as torch's layers.

From the same seed both forms have the same weights, and the same weights give the same loss.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body, State, TimestepModule
from seqprof.workloads.families.projected_lstm import ProjectedLSTMCell

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}
#: State of one layer in one direction: ``(h,)`` or, for an LSTM, ``(h, c)``, each ``[B, H]``.
LayerState: TypeAlias = tuple[Tensor, ...]
#: State of a :class:`Timestep`: one entry per layer.
StackState: TypeAlias = tuple[LayerState, ...]


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return the body that ``spec`` names, in its execution (default: fused)."""
    if spec.execution != "cell":
        return FusedBody(spec, input_size)
    return (
        BidirectionalCellBody(spec, input_size)
        if spec.bidirectional
        else CellBody(spec, input_size)
    )


def _width(spec: ModelSpec) -> int:
    """Features of h per direction."""
    return spec.projection or spec.hidden_size


def _forward_flops(spec: ModelSpec, input_size: int, batch_size: int, timesteps: int) -> int:
    """FLOPs of W x and U h: Σ over layers and directions of 2·B·T·(G·H)·(I + H), G gates.

    Projected to P features, h has P instead of H, and its projection adds 2·B·T·H·P.
    """
    directions = 2 if spec.bidirectional else 1
    gates = _GATES[cast(str, spec.name)] * spec.hidden_size
    width = _width(spec)
    sizes = [input_size] + [width * directions] * (spec.layers - 1)
    projected = spec.hidden_size * width if spec.projection else 0
    products = sum(gates * (size + width) + projected for size in sizes)
    return 2 * batch_size * timesteps * directions * products


#: What a :class:`Timestep` stacks.
Cell: TypeAlias = nn.RNNCellBase | ProjectedLSTMCell


def _make_cell(spec: ModelSpec, input_size: int) -> Cell:
    if spec.projection is not None:
        return ProjectedLSTMCell(input_size, spec.hidden_size, spec.projection)
    if spec.name == "lstm":
        return nn.LSTMCell(input_size, spec.hidden_size)
    if spec.name == "gru":
        return nn.GRUCell(input_size, spec.hidden_size)
    return nn.RNNCell(input_size, spec.hidden_size, nonlinearity=spec.nonlinearity or "tanh")


class Timestep(nn.Module):
    """One timestep through a stack of cells, with dropout between them.

    One call is one timestep, so whoever times this module's calls times timesteps.
    """

    def __init__(self, cells: Sequence[Cell], dropout: float) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.dropout = dropout

    def forward(
        self, x: Tensor, state: StackState, active: Tensor | None = None
    ) -> tuple[Tensor, StackState]:
        """Advance by one timestep.

        Args:
            x: ``[B, I]``.
            state: before this timestep, each tensor ``[B, H]``.
            active: ``[B, 1]``; sequences where it is False keep their state.

        Returns:
            The last layer's output ``[B, H]`` and the state after this timestep.
        """
        after: list[LayerState] = []
        for index, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            if index and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            advanced = _advance(cell, x, before)
            if active is not None:
                advanced = tuple(
                    torch.where(active, new, old) for new, old in zip(advanced, before, strict=True)
                )
            after.append(advanced)
            x = advanced[0]
        return x, tuple(after)

    def zeros(self, inputs: Tensor) -> StackState:
        """Return the state before the first timestep of ``inputs`` ``[B, T, I]``."""
        return tuple(
            tuple(inputs.new_zeros(inputs.shape[0], size) for size in _state_sizes(cell))
            for cell in cast("list[Cell]", list(self.cells))
        )


def _state_sizes(cell: Cell) -> tuple[int, ...]:
    if isinstance(cell, ProjectedLSTMCell):
        return cell.projection, cell.hidden_size
    return (cell.hidden_size,) * (2 if isinstance(cell, nn.LSTMCell) else 1)


def _advance(cell: nn.Module, x: Tensor, before: LayerState) -> LayerState:
    if isinstance(cell, (nn.LSTMCell, ProjectedLSTMCell)):
        return cast(LayerState, cell(x, before))
    return (cell(x, before[0]),)


def _loop(
    timestep: Timestep,
    inputs: Sequence[Tensor],
    active: Sequence[Tensor | None],
    state: StackState,
) -> tuple[list[Tensor], StackState]:
    outputs = []
    for x, mask in zip(inputs, active, strict=True):
        y, state = timestep(x, state, mask)
        outputs.append(y)
    return outputs, state


def _run(
    timestep: Timestep,
    inputs: Sequence[Tensor],
    active: Sequence[Tensor | None],
    state: StackState,
    checkpointed: bool,
) -> tuple[list[Tensor], StackState]:
    """Loop over ``inputs``; checkpointed, in chunks of √T timesteps.

    √T states are kept and √T timesteps recomputed at a time: the least memory for one extra
    forward (Chen et al. 2016).
    """
    if not checkpointed:
        return _loop(timestep, inputs, active, state)
    size = max(1, round(math.sqrt(len(inputs))))
    outputs: list[Tensor] = []
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        chunk, state = checkpoint(
            _loop,
            timestep,
            inputs[part],
            active[part],
            state,
            use_reentrant=False,
            preserve_rng_state=timestep.dropout > 0 and timestep.training,
        )
        outputs += chunk
    return outputs, state


def _refuse_packed(packed: bool) -> None:
    if packed:
        raise SeqprofError(
            "data.lengths.layout: cells, called for every timestep, take no packed sequences",
            "set model.execution: fused, or data.lengths.layout: padded",
        )


class CellBody(Body):
    """Layers of cells, left to right: timestep-major, all layers of timestep t before t + 1."""

    carries_state = True

    def __init__(self, spec: ModelSpec, input_size: int) -> None:
        super().__init__()
        sizes = [input_size] + [_width(spec)] * (spec.layers - 1)
        self.timestep = Timestep([_make_cell(spec, size) for size in sizes], spec.dropout)
        self.output_size = _width(spec)
        self._spec, self._input_size = spec, input_size

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`. The state is one ``(h,)`` or ``(h, c)`` per layer.

        Padding comes after all that counts, so lengths make no difference.
        """
        _refuse_packed(packed)
        before = self.timestep.zeros(inputs) if state is None else cast(StackState, state)
        # unbind, not x[:, t]: the backward of each x[:, t] writes zeros as large as x.
        xs = inputs.unbind(1)
        ys, after = _run(self.timestep, xs, [None] * len(xs), before, self.checkpoint)
        return torch.stack(ys, 1), after

    def timestep_modules(self) -> tuple[TimestepModule, ...]:
        return (TimestepModule("timestep"),)

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        return _forward_flops(self._spec, self._input_size, batch_size, timesteps)


class BidirectionalLayer(nn.Module):
    """One cell that runs left to right and one that runs right to left."""

    def __init__(self, spec: ModelSpec, input_size: int) -> None:
        super().__init__()
        self.left_to_right = Timestep([_make_cell(spec, input_size)], 0.0)
        self.right_to_left = Timestep([_make_cell(spec, input_size)], 0.0)

    def forward(
        self,
        inputs: Tensor,
        masks: Sequence[Tensor | None],
        state: tuple[StackState, StackState] | None,
        checkpointed: bool,
    ) -> tuple[Tensor, tuple[StackState, StackState]]:
        """Map ``[B, T, I]`` to ``[B, T, 2·H]``; the states are left to right, then back."""
        zeros = self.left_to_right.zeros(inputs)
        ahead, back = (zeros, zeros) if state is None else state
        xs = inputs.unbind(1)
        ys, ahead = _run(self.left_to_right, xs, [None] * len(xs), ahead, checkpointed)
        zs, back = _run(self.right_to_left, xs[::-1], masks[::-1], back, checkpointed)
        return torch.cat((torch.stack(ys, 1), torch.stack(zs[::-1], 1)), -1), (ahead, back)


class BidirectionalCellBody(Body):
    """Layers of cells in both directions: layer-major, since layer l + 1 needs all of layer l."""

    def __init__(self, spec: ModelSpec, input_size: int) -> None:
        super().__init__()
        sizes = [input_size] + [2 * _width(spec)] * (spec.layers - 1)
        self.layers = nn.ModuleList(BidirectionalLayer(spec, size) for size in sizes)
        self.output_size = 2 * _width(spec)
        self.reverse_features = _width(spec)
        self._spec, self._input_size = spec, input_size

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`. The state is one pair per layer: left to right, and back."""
        _refuse_packed(packed)
        masks = _masks(inputs, lengths)
        finals = []
        for index, module in enumerate(self.layers):
            if index and self._spec.dropout and self.training:
                inputs = F.dropout(inputs, self._spec.dropout)
            before = None if state is None else cast("tuple[StackState, StackState]", state[index])
            layer = cast(BidirectionalLayer, module)
            inputs, final = layer(inputs, masks, before, self.checkpoint)
            finals.append(final)
        return inputs, tuple(finals)

    def timestep_modules(self) -> tuple[TimestepModule, ...]:
        return tuple(
            TimestepModule(f"layers.{index}.{name}", reverse)
            for index in range(len(self.layers))
            for name, reverse in (("left_to_right", False), ("right_to_left", True))
        )

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        return _forward_flops(self._spec, self._input_size, batch_size, timesteps)


def _masks(inputs: Tensor, lengths: Tensor | None) -> Sequence[Tensor | None]:
    """Say for each timestep which sequences have not ended, ``[B, 1]``.

    Running right to left, a padded sequence must still be in its initial state when its last
    timestep comes.
    """
    timesteps = inputs.shape[1]
    if lengths is None:
        return [None] * timesteps
    ends = lengths.to(inputs.device, non_blocking=True)
    reached = torch.arange(timesteps, device=inputs.device).unsqueeze(1) < ends
    return list(reached.unsqueeze(-1).unbind(0))


class FusedBody(Body):
    """torch's own layers: one call for the whole sequence."""

    def __init__(self, spec: ModelSpec, input_size: int) -> None:
        super().__init__()
        kinds = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        extra: dict[str, Any] = {}
        if spec.name == "rnn":
            extra["nonlinearity"] = spec.nonlinearity or "tanh"
        if spec.projection is not None:
            extra["proj_size"] = spec.projection
            # The report says it, as a caveat.
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        directions = 2 if spec.bidirectional else 1
        self.rnn = kinds[cast(str, spec.name)](
            input_size,
            spec.hidden_size,
            spec.layers,
            batch_first=True,
            bidirectional=spec.bidirectional,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
            **extra,
        )
        self.output_size = directions * _width(spec)
        self.reverse_features = _width(spec) if spec.bidirectional else 0
        self.carries_state = not spec.bidirectional
        self._spec, self._input_size = spec, input_size

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`. The state is ``(h,)`` or ``(h, c)``, each ``[L·D, B, H]``.

        Raises:
            SeqprofError: padded variable lengths in both directions: the layer would run through
                the padding before it reaches a sequence's end.
        """
        if lengths is not None and not packed and self._spec.bidirectional:
            raise SeqprofError(
                "model.execution: a fused bidirectional layer cannot leave padding out, so padding "
                "would change the loss",
                "set data.lengths.layout: packed, or model.execution: cell",
            )
        outputs, final = self._call(_pack(inputs, lengths) if packed else inputs, state)
        if packed:
            outputs, _ = pad_packed_sequence(
                outputs, batch_first=True, total_length=inputs.shape[1]
            )
        return outputs, final if isinstance(final, tuple) else (final,)

    def _call(self, data: Tensor | PackedSequence, state: State | None) -> Any:
        before = state[0] if state is not None and self._spec.name != "lstm" else state
        if not self.checkpoint:
            return self.rnn(data, before)
        return checkpoint(
            self.rnn,
            data,
            before,
            use_reentrant=False,
            preserve_rng_state=self._spec.dropout > 0 and self.training,
        )

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        return _forward_flops(self._spec, self._input_size, batch_size, timesteps)


def _pack(inputs: Tensor, lengths: Tensor | None) -> PackedSequence:
    if lengths is None:
        lengths = torch.full((inputs.shape[0],), inputs.shape[1])
    return pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
