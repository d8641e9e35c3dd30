// Creating tensors on the device, copying to and from it, and reading one number back.
#include <ATen/EmptyTensor.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/resize_native.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <optional>

#include "allocator.h"
#include "launch.h"
#include "stream.h"
#include "tensor_views.h"

namespace sim {
namespace {

using at::Tensor;
using c10::Device;
using c10::IntArrayRef;

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

Device target(std::optional<Device> device) {
  const int index = device && device->has_index() ? device->index() : current_device();
  return {kDevice, static_cast<c10::DeviceIndex>(index)};
}

Tensor empty(IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
             std::optional<Device> device, std::optional<bool>,
             std::optional<c10::MemoryFormat> format) {
  c10::DeviceGuard guard(target(device));
  return at::detail::empty_generic(size, device_allocator(), kKeys, c10::dtype_or_default(dtype),
                                   format);
}

Tensor empty_strided(IntArrayRef size, IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                     std::optional<c10::Layout>, std::optional<Device> device,
                     std::optional<bool>) {
  c10::DeviceGuard guard(target(device));
  return at::detail::empty_strided_generic(size, stride, device_allocator(), kKeys,
                                           c10::dtype_or_default(dtype));
}

// A blocking copy between host and device waits for the stream, as cudaMemcpy does.
Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  const bool from_device = from.device().is_privateuseone();
  const int device = from_device ? from.device().index() : to.device().index();
  launch(device, [from, to] { on_cpu(to).copy_(on_cpu(from)); });
  const bool crosses = from.device().type() != to.device().type();
  if (crosses && !non_blocking) current_stream(device).synchronize();
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  at::native::resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

// Behind tensor.item(): the host needs the number now.
at::Scalar local_scalar_dense(const Tensor& tensor) {
  current_stream(tensor.device().index()).synchronize();
  return at::native::_local_scalar_dense_cpu(on_cpu(tensor));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
}

}  // namespace
}  // namespace sim
