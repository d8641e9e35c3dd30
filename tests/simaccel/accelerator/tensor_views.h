// The same tensor seen from elsewhere: by a kernel, as CPU memory, or as a mere shape.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace sim {

// A CPU tensor on the device tensor's memory, which it keeps alive. Only kernels may look.
at::Tensor on_cpu(const at::Tensor& tensor);

// A meta tensor of the same shape, to learn a result's shape without computing it.
at::Tensor on_meta(const at::Tensor& tensor);

// An optional tensor argument: undefined when it is absent.
at::Tensor or_undefined(const std::optional<at::Tensor>& tensor);

}  // namespace sim
