// Convolution, forward and backward: PyTorch leaves both to the backend.
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <array>
#include <tuple>
#include <vector>

#include "launch.h"
#include "tensor_views.h"

namespace sim {
namespace {

using at::Tensor;
using c10::SymIntArrayRef;
using Sizes = std::vector<int64_t>;

// The arguments that forward and backward share, in a form that a queued kernel may keep.
struct Geometry {
  Sizes stride, padding, dilation, output_padding;
  bool transposed;
  int64_t groups;
};

Sizes copied(SymIntArrayRef sizes) { return C10_AS_INTARRAYREF_SLOW(sizes).vec(); }

Tensor convolve(const Tensor& input, const Tensor& weight, const Tensor& bias, const Geometry& g) {
  const auto maybe_bias = bias.defined() ? std::optional<Tensor>(bias) : std::nullopt;
  return at::convolution(input, weight, maybe_bias, g.stride, g.padding, g.dilation, g.transposed,
                         g.output_padding, g.groups);
}

Tensor convolution(const Tensor& input, const Tensor& weight,
                   const std::optional<Tensor>& maybe_bias, SymIntArrayRef stride,
                   SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed,
                   SymIntArrayRef output_padding, c10::SymInt groups) {
  const Geometry geometry{copied(stride),         copied(padding), copied(dilation),
                          copied(output_padding), transposed,      groups.expect_int()};
  const Tensor bias = or_undefined(maybe_bias);
  const auto shape = convolve(on_meta(input), on_meta(weight), on_meta(bias), geometry);
  const Tensor output = at::empty(shape.sizes(), input.options());
  launch(input.device().index(), [=] {
    on_cpu(output).copy_(convolve(on_cpu(input), on_cpu(weight), on_cpu(bias), geometry));
  });
  return output;
}

// Returns the gradients of input, weight and bias, as far as the mask asks for them.
std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& grad_output, const Tensor& input, const Tensor& weight, SymIntArrayRef stride,
    SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed, SymIntArrayRef output_padding,
    c10::SymInt groups, std::array<bool, 3> mask) {
  const Geometry g{copied(stride),         copied(padding), copied(dilation),
                   copied(output_padding), transposed,      groups.expect_int()};
  const auto like = [](const Tensor& t) {
    return at::empty_like(t, c10::MemoryFormat::Contiguous);
  };
  const Sizes bias_size{grad_output.size(1)};
  const Tensor grad_input = mask[0] ? like(input) : Tensor();
  const Tensor grad_weight = mask[1] ? like(weight) : Tensor();
  const Tensor grad_bias = mask[2] ? at::empty(bias_size, grad_output.options()) : Tensor();
  launch(input.device().index(), [=] {
    const auto [of_input, of_weight, of_bias] = at::convolution_backward(
        on_cpu(grad_output), on_cpu(input), on_cpu(weight), at::OptionalIntArrayRef(bias_size),
        g.stride, g.padding, g.dilation, g.transposed, g.output_padding, g.groups, mask);
    if (mask[0]) on_cpu(grad_input).copy_(of_input);
    if (mask[1]) on_cpu(grad_weight).copy_(of_weight);
    if (mask[2]) on_cpu(grad_bias).copy_(of_bias);
  });
  return {grad_input, grad_weight, grad_bias};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

}  // namespace
}  // namespace sim
