// The fused GRU cell, forward and backward: one kernel each, as on CUDA.
// Gates lie side by side in the order reset, update, new.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <tuple>

#include "launch.h"
#include "tensor_views.h"

namespace sim {
namespace {

using at::Tensor;
using MaybeTensor = std::optional<Tensor>;

// input_gates, hidden_gates: [B, 3H]; hx: [B, H]. Returns hy: [B, H], workspace: [B, 5H].
std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                    const Tensor& hx, const MaybeTensor& maybe_input_bias,
                                    const MaybeTensor& maybe_hidden_bias) {
  const Tensor input_bias = or_undefined(maybe_input_bias);
  const Tensor hidden_bias = or_undefined(maybe_hidden_bias);
  const Tensor hy = at::empty_like(hx, c10::MemoryFormat::Contiguous);
  const Tensor workspace = at::empty({hx.size(0), 5 * hx.size(1)}, hx.options());
  launch(hx.device().index(), [=] {
    auto from_input = on_cpu(input_gates), from_hidden = on_cpu(hidden_gates);
    if (input_bias.defined()) {
      from_input = from_input + on_cpu(input_bias);
      from_hidden = from_hidden + on_cpu(hidden_bias);
    }
    const auto x = from_input.chunk(3, 1), h = from_hidden.chunk(3, 1);
    const auto reset = (x[0] + h[0]).sigmoid(), update = (x[1] + h[1]).sigmoid();
    const auto fresh = (x[2] + reset * h[2]).tanh();
    const auto previous = on_cpu(hx);
    on_cpu(hy).copy_((previous - fresh) * update + fresh);
    on_cpu(workspace).copy_(at::cat({reset, update, fresh, previous, h[2]}, 1));
  });
  return {hy, workspace};
}

// Returns the gradients of both gates [B, 3H], of hx [B, H] and of both biases [3H].
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad_hy,
                                                                     const Tensor& workspace,
                                                                     bool has_bias) {
  const int64_t batch = workspace.size(0), hidden = workspace.size(1) / 5;
  const auto options = workspace.options();
  const auto bias = [&] { return has_bias ? at::empty({3 * hidden}, options) : Tensor(); };
  const Tensor grad_input_gates = at::empty({batch, 3 * hidden}, options);
  const Tensor grad_hidden_gates = at::empty({batch, 3 * hidden}, options);
  const Tensor grad_hx = at::empty({batch, hidden}, options);
  const Tensor grad_input_bias = bias(), grad_hidden_bias = bias();
  launch(workspace.device().index(), [=] {
    const auto kept = on_cpu(workspace).chunk(5, 1);
    const auto &reset = kept[0], &update = kept[1], &fresh = kept[2];
    const auto &previous = kept[3], &hidden_new = kept[4];
    const auto d_hy = on_cpu(grad_hy);
    const auto d_update = d_hy * (previous - fresh) * update * (1 - update);
    const auto d_fresh = d_hy * (1 - update) * (1 - fresh * fresh);
    const auto d_reset = d_fresh * hidden_new * reset * (1 - reset);
    const auto d_input = at::cat({d_reset, d_update, d_fresh}, 1);
    const auto d_hidden = at::cat({d_reset, d_update, d_fresh * reset}, 1);
    on_cpu(grad_input_gates).copy_(d_input);
    on_cpu(grad_hidden_gates).copy_(d_hidden);
    on_cpu(grad_hx).copy_(d_hy * update);
    if (!has_bias) return;
    on_cpu(grad_input_bias).copy_(d_input.sum(0));
    on_cpu(grad_hidden_bias).copy_(d_hidden.sum(0));
  });
  return {grad_input_gates, grad_hidden_gates, grad_hx, grad_input_bias, grad_hidden_bias};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}

}  // namespace
}  // namespace sim
