// The fused LSTM cell, forward and backward: one kernel each, as on CUDA.
// Gates lie side by side in the order input, forget, cell, output.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <tuple>

#include "launch.h"
#include "tensor_views.h"

namespace sim {
namespace {

using at::Tensor;
using MaybeTensor = std::optional<Tensor>;

Tensor like(const Tensor& tensor) { return at::empty_like(tensor, c10::MemoryFormat::Contiguous); }

// input_gates, hidden_gates: [B, 4H]; cx: [B, H]. Returns hy, cy: [B, H], workspace: [B, 4H].
std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                             const Tensor& cx, const MaybeTensor& maybe_input_bias,
                                             const MaybeTensor& maybe_hidden_bias) {
  const Tensor input_bias = or_undefined(maybe_input_bias);
  const Tensor hidden_bias = or_undefined(maybe_hidden_bias);
  const Tensor hy = like(cx), cy = like(cx), workspace = like(input_gates);
  launch(cx.device().index(), [=] {
    auto sum = on_cpu(input_gates) + on_cpu(hidden_gates);
    if (input_bias.defined()) sum += on_cpu(input_bias) + on_cpu(hidden_bias);
    const auto chunks = sum.chunk(4, 1);
    const auto input = chunks[0].sigmoid(), forget = chunks[1].sigmoid();
    const auto cell = chunks[2].tanh(), output = chunks[3].sigmoid();
    const auto next_cell = forget * on_cpu(cx) + input * cell;
    on_cpu(cy).copy_(next_cell);
    on_cpu(hy).copy_(output * next_cell.tanh());
    on_cpu(workspace).copy_(at::cat({input, forget, cell, output}, 1));
  });
  return {hy, cy, workspace};
}

// Returns the gradients of the gates [B, 4H], of cx [B, H] and of the bias [4H].
std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const MaybeTensor& maybe_grad_hy,
                                                      const MaybeTensor& maybe_grad_cy,
                                                      const Tensor& cx, const Tensor& cy,
                                                      const Tensor& workspace, bool has_bias) {
  const Tensor grad_hy = or_undefined(maybe_grad_hy), grad_cy = or_undefined(maybe_grad_cy);
  if (!grad_hy.defined() && !grad_cy.defined()) return {};
  const Tensor grad_gates = like(workspace), grad_cx = like(cx);
  const Tensor grad_bias =
      has_bias ? at::empty({workspace.size(1)}, workspace.options()) : Tensor();
  launch(cx.device().index(), [=] {
    const auto gates = on_cpu(workspace).chunk(4, 1);
    const auto &input = gates[0], &forget = gates[1], &cell = gates[2], &output = gates[3];
    const auto tanh_cy = on_cpu(cy).tanh();
    auto d_cell_state = grad_cy.defined() ? on_cpu(grad_cy).clone() : at::zeros_like(tanh_cy);
    auto d_output = at::zeros_like(tanh_cy);
    if (grad_hy.defined()) {
      const auto d_hidden = on_cpu(grad_hy);
      d_cell_state = d_cell_state + d_hidden * output * (1 - tanh_cy * tanh_cy);
      d_output = d_hidden * tanh_cy * output * (1 - output);
    }
    const auto d_gates = at::cat({d_cell_state * cell * input * (1 - input),
                                  d_cell_state * on_cpu(cx) * forget * (1 - forget),
                                  d_cell_state * input * (1 - cell * cell), d_output},
                                 1);
    on_cpu(grad_gates).copy_(d_gates);
    on_cpu(grad_cx).copy_(d_cell_state * forget);
    if (has_bias) on_cpu(grad_bias).copy_(d_gates.sum(0));
  });
  return {grad_gates, grad_cx, grad_bias};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
}

}  // namespace
}  // namespace sim
