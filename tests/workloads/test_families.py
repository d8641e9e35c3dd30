"""Each family against a loop over timesteps written from its equations, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body, detach_state
from seqprof.workloads.families.mlstm import MLSTM
from seqprof.workloads.families.residual_stack import Mixer, ResidualBlock, ResidualStack
from seqprof.workloads.registry import find_family

SIZE = 8

FORMS: list[dict[str, Any]] = [
    {"name": "mingru"},
    {"name": "mingru", "execution": "sequential"},
    {"name": "minlstm"},
    {"name": "minlstm", "execution": "sequential"},
    {"name": "ssm", "state_size": 5},
    {"name": "ssm", "execution": "sequential"},
    {"name": "mamba", "state_size": 3},
    {"name": "mamba", "execution": "sequential"},
    {"name": "mamba", "transition": "scalar", "state_size": 3},
    {"name": "mamba", "transition": "scalar", "execution": "chunked", "chunk": 4, "heads": 2},
    {"name": "linear-attention", "heads": 2},
    {"name": "linear-attention", "execution": "chunked", "chunk": 4},
    {"name": "retention", "heads": 2},
    {"name": "retention", "execution": "chunked", "chunk": 4},
    {"name": "mlstm", "heads": 2},
    {"name": "mlstm", "execution": "chunked", "chunk": 4},
    {"name": "slstm", "heads": 2},
    {"name": "tcn", "layers": 3},
    {"name": "lstm", "projection": 3, "execution": "cell", "layers": 2},
    {"name": "lstm", "projection": 3, "execution": "fused", "layers": 2},
]


def name_of(model: dict[str, Any]) -> str:
    return "-".join(str(value) for value in model.values())


each_form = pytest.mark.parametrize("model", FORMS, ids=name_of)


def make_body(model: dict[str, Any], input_size: int = SIZE) -> Body:
    torch.manual_seed(0)
    spec = ModelSpec.model_validate({"hidden_size": SIZE, **model})
    body = find_family(spec.name or "").load_builder()(spec, input_size)
    assert isinstance(body, Body)
    return body.double()


def scatter_weights(module: nn.Module) -> None:
    """Weights far from their first values, so that gates open and close and errors would show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.7 * noise)


# The references. Each takes the mixer for its weights only, and one timestep after another.


def positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, x.sigmoid())


def mingru(m: Any, x: Tensor) -> Tensor:
    h, out = torch.zeros_like(x[:, 0]), []
    for x_t in x.unbind(1):
        k, candidate = m.gates(x_t).chunk(2, -1)
        z = k.sigmoid()
        h = (1 - z) * h + z * positive(candidate)
        out.append(h)
    return torch.stack(out, 1)


def minlstm(m: Any, x: Tensor) -> Tensor:
    h, out = torch.zeros_like(x[:, 0]), []
    for x_t in x.unbind(1):
        forget, enter, candidate = m.gates(x_t).chunk(3, -1)
        f, i = forget.sigmoid(), enter.sigmoid()
        h = f / (f + i) * h + i / (f + i) * positive(candidate)
        out.append(h)
    return torch.stack(out, 1)


def ssm(m: Any, x: Tensor) -> Tensor:
    transition = torch.exp(torch.complex(-m.log_decay.exp(), m.log_angle.exp()))
    gamma = (1 - transition.abs() ** 2).sqrt()
    states = len(transition)
    b = torch.complex(m.enter.weight[:states], m.enter.weight[states:])
    # Re(C h) = Re C · Re h - Im C · Im h; the columns of `leave` are (Re, -Im) by turns.
    c = torch.complex(m.leave.weight[:, 0::2], -m.leave.weight[:, 1::2])
    h, out = x.new_zeros(len(x), states, dtype=torch.complex128), []
    for x_t in x.unbind(1):
        h = transition * h + gamma * (x_t.to(b.dtype) @ b.T)
        y = F.gelu((h @ c.T).real + m.skip * x_t)
        value, gate = m.gate(y).chunk(2, -1)
        out.append(value * gate.sigmoid())
    return torch.stack(out, 1)


def mamba_full(m: Any, x: Tensor) -> Tensor:
    a, kernel = -m.log_rate.exp(), m.convolve.convolution
    window = [x.new_zeros(len(x), m._inner)] * 4
    h, out = x.new_zeros(len(x), m._inner, m._states), []
    for x_t in x.unbind(1):
        u, gate = m.enter(x_t).chunk(2, -1)
        window = [*window[1:], u]
        taps = sum(w * kernel.weight[:, 0, i] for i, w in enumerate(window))
        u = F.silu(taps + kernel.bias)
        low, b, c = m.select(u).split((m._rank, m._states, m._states), -1)
        step = F.softplus(m.step(low)).unsqueeze(-1)
        h = (step * a).exp() * h + step * b.unsqueeze(1) * u.unsqueeze(-1)
        y = (h * c.unsqueeze(1)).sum(-1) + m.skip * u
        out.append(m.leave(y * F.silu(gate)))
    return torch.stack(out, 1)


def mamba_scalar(m: Any, x: Tensor) -> Tensor:
    kernel, heads, states, inner = m.convolve.convolution, m._heads, m._states, m._inner
    window = [x.new_zeros(len(x), inner + 2 * states)] * 4
    s, out = x.new_zeros(len(x), heads, states, inner // heads), []
    for x_t in x.unbind(1):
        gate, entering, step = m.enter(x_t).split((inner, inner + 2 * states, heads), -1)
        window = [*window[1:], entering]
        taps = sum(w * kernel.weight[:, 0, i] for i, w in enumerate(window))
        u, b, c = torch.split(F.silu(taps + kernel.bias), [inner, states, states], -1)
        u = u.view(len(x), heads, -1)
        step = F.softplus(step + m.step_bias)[..., None, None]
        a = (step * -m.log_rate.exp()[:, None, None]).exp()
        s = a * s + step * b[:, None, :, None] * u[:, :, None, :]
        y = torch.einsum("bhnp,bn->bhp", s, c) + m.skip[:, None] * u
        out.append(m.leave(m.norm(y.flatten(1) * F.silu(gate))))
    return torch.stack(out, 1)


def mamba(m: Any, x: Tensor) -> Tensor:
    return mamba_scalar(m, x) if hasattr(m, "step_bias") else mamba_full(m, x)


def linear_attention(m: Any, x: Tensor) -> Tensor:
    heads, width = m._heads, SIZE // m._heads
    s, z, out = x.new_zeros(len(x), heads, width, width), x.new_zeros(len(x), heads, width), []
    for x_t in x.unbind(1):
        q, k, v = m.qkv(x_t).view(len(x), 3, heads, width).unbind(1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        s, z = s + k.unsqueeze(-1) * v.unsqueeze(-2), z + k
        o = torch.einsum("bhde,bhd->bhe", s, q) / (z * q).sum(-1, keepdim=True)
        out.append(m.out(o.flatten(1)))
    return torch.stack(out, 1)


def retention(m: Any, x: Tensor) -> Tensor:
    heads, width = m._heads, SIZE // m._heads
    frequencies = 10_000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    s, out = x.new_zeros(len(x), heads, width, width), []
    gamma = 1 - 2.0 ** (-5.0 - torch.arange(heads, dtype=torch.float64))
    for t, x_t in enumerate(x.unbind(1)):
        q, k, v, gate = m.qkvg(x_t).chunk(4, -1)
        q, k, v = (part.view(len(x), heads, width) for part in (q, k, v))
        turn = torch.polar(torch.ones_like(frequencies), t * frequencies)

        def turned(part: Tensor, turn: Tensor = turn) -> Tensor:
            first, second = part.chunk(2, -1)
            rotated = torch.complex(first, second) * turn
            return torch.cat((rotated.real, rotated.imag), -1)

        s = gamma[:, None, None] * s + turned(k).unsqueeze(-1) * v.unsqueeze(-2)
        o = torch.einsum("bhde,bhd->bhe", s, turned(q)) / math.sqrt(width)
        centred = o - o.mean(-1, keepdim=True)
        normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        out.append(m.out(F.silu(gate) * normed.flatten(1)))
    return torch.stack(out, 1)


def mlstm(m: Any, x: Tensor) -> Tensor:
    """Without the stabiliser: in float64 with gates of moderate size nothing overflows."""
    heads, width = m._heads, SIZE // m._heads
    c, n, out = x.new_zeros(len(x), heads, width, width), x.new_zeros(len(x), heads, width), []
    for x_t in x.unbind(1):
        q, k, v, o = m.qkvo(x_t).chunk(4, -1)
        q, k, v = (part.view(len(x), heads, width) for part in (q, k, v))
        k = k / math.sqrt(width)
        enter, forget = m.gates(x_t).unsqueeze(-1).chunk(2, 1)
        i, f = enter.exp(), forget.sigmoid()
        c = f.unsqueeze(-1) * c + i.unsqueeze(-1) * v.unsqueeze(-1) * k.unsqueeze(-2)
        n = f * n + i * k
        bottom = (n * q).sum(-1, keepdim=True).abs().clamp(min=1)
        h = (c @ q.unsqueeze(-1)).squeeze(-1) / bottom
        out.append(m.out(o.sigmoid() * m.head_norm(h.flatten(1))))
    return torch.stack(out, 1)


def block_diagonal(blocks: Tensor) -> Tensor:
    heads, width, _ = blocks.shape
    eye = torch.eye(heads, dtype=blocks.dtype)
    return torch.einsum("gh,gij->gihj", eye, blocks).reshape(heads * width, heads * width)


def slstm(m: Any, x: Tensor) -> Tensor:
    """Without the stabiliser, and with R as one block-diagonal matrix per gate."""
    heads, width = m._heads, SIZE // m._heads
    blocks = m.cell.recurrent.unflatten(-1, (4, width))  # [heads, d, gate, d]
    recurrent = [block_diagonal(blocks[:, :, gate]) for gate in range(4)]
    h = c = n = torch.zeros_like(x[:, 0])
    out = []
    for x_t in x.unbind(1):
        projected = m.project(x_t).view(len(x), heads, 4, width)
        i, f, z, o = (projected[:, :, g].flatten(1) + h @ recurrent[g] for g in range(4))
        c = f.sigmoid() * c + i.exp() * z.tanh()
        n = f.sigmoid() * n + i.exp()
        h = o.sigmoid() * c / n
        out.append(h)
    return torch.stack(out, 1)


REFERENCES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "mingru": mingru,
    "minlstm": minlstm,
    "ssm": ssm,
    "mamba": mamba,
    "linear-attention": linear_attention,
    "retention": retention,
    "mlstm": mlstm,
    "slstm": slstm,
}


def results(
    run: Callable[[Tensor], Tensor], module: nn.Module, inputs: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs, and gradients of the input and of every weight."""
    x = inputs.clone().requires_grad_()
    outputs = run(x)
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view_as(outputs)
    names = ["input", *dict(module.named_parameters())]
    wanted = [x, *module.parameters()]
    # Of one timestep alone, what the recurrence keeps is not used.
    found = torch.autograd.grad((outputs * weights).sum(), wanted, materialize_grads=True)
    return outputs.detach(), dict(zip(names, found, strict=True))


@pytest.mark.parametrize("timesteps", [1, 2, 13, 16])
@pytest.mark.parametrize("model", [f for f in FORMS if f["name"] in REFERENCES], ids=name_of)
def test_outputs_and_gradients_are_those_of_the_recurrence(
    model: dict[str, Any], timesteps: int
) -> None:
    body = make_body(model)
    assert isinstance(body, ResidualStack)
    mixer = body._mixers()[0]
    scatter_weights(mixer)
    inputs = torch.randn(2, timesteps, SIZE, dtype=torch.float64)
    reference = REFERENCES[model["name"]]
    ours, our_gradients = results(lambda x: mixer(x)[0], mixer, inputs)
    theirs, their_gradients = results(lambda x: reference(mixer, x), mixer, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for name, gradient in our_gradients.items():
        largest = their_gradients[name].abs().max().clamp(min=1).item()
        torch.testing.assert_close(
            gradient, their_gradients[name], rtol=1e-10, atol=1e-10 * largest, msg=name
        )
        if timesteps > 1:
            assert gradient.abs().max() > 0, name


def test_a_tcn_is_its_dilated_sums() -> None:
    body = make_body({"name": "tcn", "layers": 3, "kernel_size": 2}, input_size=5)
    inputs = torch.randn(2, 11, 5, dtype=torch.float64)

    def convolve(layer: Any, x: Tensor, apart: int) -> Tensor:
        out = []
        for t in range(x.shape[1]):
            y = layer.bias
            for tap in range(layer.kernel_size[0]):
                at = t - apart * (layer.kernel_size[0] - 1 - tap)
                if at >= 0:
                    y = y + x[:, at] @ layer.weight[:, :, tap].T
            out.append(y.expand(len(x), -1))
        return torch.stack(out, 1)

    def reference(x: Tensor) -> Tensor:
        for level, block in enumerate(body.get_submodule("blocks").children()):
            y = convolve(block.first, x, 2**level).relu()
            y = convolve(block.second, y, 2**level).relu()
            kept = x if x.shape[-1] == SIZE else convolve(block.match, x, 1)
            x = (kept + y).relu()
        return x

    ours, our_gradients = results(lambda x: body(x)[0], body, inputs)
    theirs, their_gradients = results(reference, body, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_projected_cell_is_torchs_projected_layer(bidirectional: bool) -> None:
    model = {"name": "lstm", "projection": 3, "layers": 2, "bidirectional": bidirectional}
    cell, fused = (make_body({**model, "execution": e}, 5) for e in ("cell", "fused"))
    assert cell.output_size == fused.output_size == (6 if bidirectional else 3)
    inputs = torch.randn(2, 7, 5, dtype=torch.float64)
    ours, our_gradients = results(lambda x: cell(x)[0], cell, inputs)
    theirs, their_gradients = results(lambda x: fused(x)[0], fused, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    pairs = zip(our_gradients.values(), their_gradients.values(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@each_form
def test_a_change_at_t_leaves_the_outputs_before_t_alone(model: dict[str, Any]) -> None:
    body = make_body(model)
    inputs = torch.randn(2, 13, SIZE, dtype=torch.float64)
    for t in (0, 5, 12):
        changed = inputs.clone()
        changed[:, t, 0] += 1  # not all features: a norm would take that out
        before, after = body(inputs)[0], body(changed)[0]
        torch.testing.assert_close(before[:, :t], after[:, :t], rtol=0, atol=1e-12)
        assert (before[:, t] - after[:, t]).abs().max() > 1e-6
    # And it does reach what comes later: this is a model of sequences.
    changed = inputs.clone()
    changed[:, 0, 0] += 1
    assert (body(inputs)[0] - body(changed)[0])[:, 3].abs().max() > 1e-9


@each_form
def test_flops_are_what_torch_counts(model: dict[str, Any]) -> None:
    body = make_body(model, input_size=6).float()
    with FlopCounterMode(display=False) as counter:
        body(torch.randn(3, 16, 6))
    if model.get("execution") == "fused" and "projection" in model:
        cell = make_body({**model, "execution": "cell"}, input_size=6)
        assert body.forward_flops(3, 16) == cell.forward_flops(3, 16)
        return
    assert body.forward_flops(3, 16) == counter.get_total_flops()


@each_form
def test_it_runs_on_shapes_alone_in_half_precision_and_checkpointed(model: dict[str, Any]) -> None:
    body = make_body({**model, "layers": 2}).float()
    inputs = torch.randn(2, 9, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        short = body(inputs)[0]
    short.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in body.parameters())
    full = body(inputs)[0]
    assert (short.float() - full).norm() < 0.1 * full.norm()
    body.checkpoint = True
    torch.testing.assert_close(body(inputs)[0], full)
    body.to("meta")
    output, _ = body(inputs.to("meta"))
    output.sum().backward()
    assert output.is_meta
    assert output.shape == (2, 9, body.output_size)


@each_form
def test_packed_sequences_are_refused(model: dict[str, Any]) -> None:
    if model["name"] == "lstm" and model["execution"] == "fused":
        pytest.skip("nn.LSTM takes them")
    with pytest.raises(SeqprofError, match="packed"):
        make_body(model)(torch.zeros(1, 4, SIZE), packed=True)


def test_an_slstm_goes_on_from_its_state() -> None:
    body = make_body({"name": "slstm", "layers": 2})
    inputs = torch.randn(2, 9, SIZE, dtype=torch.float64)
    whole = body(inputs)[0]
    first, state = body(inputs[:, :4])
    second, _ = body(inputs[:, 4:], detach_state(state))
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
    calls: list[int] = []
    for found in body.timestep_modules():
        cell = body.get_submodule(found.path)
        cell.register_forward_pre_hook(lambda *_: calls.append(1))
    body(inputs)
    assert len(calls) == 2 * 9


@pytest.mark.parametrize("name", ["mingru", "minlstm", "mamba", "mlstm", "slstm"])
def test_gates_far_out_overflow_nothing(name: str) -> None:
    """exp of a gate of 300 is not a float32; the outputs and gradients are."""
    forms = [f for f in FORMS if f["name"] == name]
    for model in forms:
        body = make_body(model).float()
        assert isinstance(body, ResidualStack)
        inputs = 300 * torch.randn(2, 32, SIZE)
        inputs.requires_grad_()
        outputs = body._mixers()[0](inputs)[0]
        outputs.sum().backward()
        assert outputs.isfinite().all()
        assert inputs.grad is not None
        assert inputs.grad.isfinite().all()


def test_an_mlstm_with_large_gates_is_the_same_in_both_forms() -> None:
    one, other = MLSTM(SIZE, 2, None).double(), MLSTM(SIZE, 2, 4).double()
    with torch.no_grad():
        one.gates.weight.mul_(60)
    other.load_state_dict(one.state_dict())
    inputs = torch.randn(2, 14, SIZE, dtype=torch.float64)
    ours, our_gradients = results(lambda x: one(x)[0], one, inputs)
    theirs, their_gradients = results(lambda x: other(x)[0], other, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(our_gradients, their_gradients, rtol=1e-8, atol=1e-8)


def test_blocks_with_an_mlp_have_it_in_a_residual_of_its_own() -> None:
    body = make_body({"name": "linear-attention"})
    [block] = body.get_submodule("blocks").children()
    assert isinstance(block, ResidualBlock)
    assert isinstance(block.mixer, Mixer)
    x = torch.randn(2, 5, SIZE, dtype=torch.float64)
    assert block.mlp is not None
    middle = x + block.mixer(block.norm(x))[0]
    torch.testing.assert_close(block(x, ())[0], middle + block.mlp(middle))
