// See tensor_views.h.
#include "tensor_views.h"

#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>

namespace sim {

at::Tensor on_cpu(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.device().is_privateuseone()) return tensor;
  auto* data = static_cast<char*>(
      const_cast<void*>(tensor.unsafeGetTensorImpl()->storage().data()));  // no copy on write here
  if (data) data += tensor.storage_offset() * tensor.itemsize();
  return at::from_blob(
      data, tensor.sizes(), tensor.strides(), [tensor](void*) {},
      tensor.options().device(c10::kCPU));
}

at::Tensor on_meta(const at::Tensor& tensor) {
  const bool is_cpu_scalar = tensor.defined() && tensor.is_cpu() && tensor.dim() == 0;
  if (!tensor.defined() || is_cpu_scalar) return tensor;
  auto meta =
      at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(c10::kMeta));
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number())
    meta.unsafeGetTensorImpl()->set_wrapped_number(true);
  return meta;
}

at::Tensor or_undefined(const std::optional<at::Tensor>& tensor) {
  return tensor ? *tensor : at::Tensor();
}

}  // namespace sim
