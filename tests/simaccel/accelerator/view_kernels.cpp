// Operators that only change what a tensor says of its memory. They run on the host, launch nothing
// and never wait.
#include <ATen/CPUFunctions.h>
#include <ATen/NativeFunctions.h>
#include <torch/library.h>

namespace sim {
namespace {

using at::Tensor;
using c10::SymIntArrayRef;

Tensor as_strided(const Tensor& tensor, SymIntArrayRef size, SymIntArrayRef stride,
                  std::optional<c10::SymInt> offset) {
  return at::cpu::as_strided_symint(tensor, size, stride, offset);
}

Tensor view(const Tensor& tensor, SymIntArrayRef size) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}

Tensor reshape_alias(const Tensor& tensor, SymIntArrayRef size, SymIntArrayRef stride) {
  return at::native::_reshape_alias(tensor, C10_AS_INTARRAYREF_SLOW(size),
                                    C10_AS_INTARRAYREF_SLOW(stride));
}

const Tensor& resize_(const Tensor& tensor, SymIntArrayRef size,
                      std::optional<c10::MemoryFormat> format) {
  return at::native::resize_(tensor, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor& set_to_tensor(Tensor& self, const Tensor& source) {
  return at::native::set_tensor_(self, source);
}

Tensor& set_to_storage(Tensor& self, at::Storage source) { return at::native::set_(self, source); }

Tensor& set_to_storage_part(Tensor& self, at::Storage source, c10::SymInt offset,
                            SymIntArrayRef size, SymIntArrayRef stride) {
  return at::cpu::set_(self, source, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                       C10_AS_INTARRAYREF_SLOW(stride));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("resize_", resize_);
  m.impl("set_.source_Tensor", set_to_tensor);
  m.impl("set_.source_Storage", set_to_storage);
  m.impl("set_.source_Storage_storage_offset", set_to_storage_part);
}

}  // namespace
}  // namespace sim
