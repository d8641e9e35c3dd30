// Every operator that has no kernel of its own here: computed by the CPU kernel, asynchronously.
//
// Host side: the shapes of the results come from the meta kernel, the results are allocated and
// returned at once. Device side: the stream's thread runs the CPU kernel and fills them in. An
// operator whose result cannot be known beforehand synchronizes first, as it would on CUDA, too;
// SIM_TRACE=1 prints each of those.
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/empty_strided.h>
#include <torch/library.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "config.h"
#include "launch.h"
#include "stream.h"
#include "tensor_views.h"

namespace sim {
namespace {

using at::Tensor;
using c10::IValue;
using torch::jit::Stack;

// An operator call taken off the interpreter's stack.
struct Call {
  const c10::OperatorHandle& op;
  const c10::FunctionSchema& schema;
  const std::vector<IValue> arguments;
  int device = -1;  // of the first device tensor among the arguments
};

// The value with f applied to each tensor in it, and a device replaced by the given one.
template <class F>
IValue map_tensors(const IValue& value, c10::Device device, F f) {
  if (value.isTensor()) return f(value.toTensor());
  if (value.isDevice()) return device;
  if (value.isTensorList()) {
    c10::List<Tensor> mapped;
    for (const Tensor& tensor : value.toTensorVector()) mapped.push_back(f(tensor));
    return mapped;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> mapped;
    for (const std::optional<Tensor>& tensor : value.toOptionalTensorVector())
      mapped.push_back(tensor ? std::optional<Tensor>(f(*tensor)) : std::nullopt);
    return mapped;
  }
  return value;
}

int device_of(const std::vector<IValue>& arguments) {
  int device = -1;
  auto look = [&](const Tensor& tensor) {
    if (device < 0 && tensor.defined() && tensor.device().is_privateuseone())
      device = tensor.device().index();
    return tensor;
  };
  for (const IValue& argument : arguments) map_tensors(argument, c10::kCPU, look);
  return device;
}

Stack run_on_cpu(const c10::OperatorHandle& op, const std::vector<IValue>& arguments) {
  Stack stack;
  for (const IValue& argument : arguments)
    stack.push_back(map_tensors(argument, c10::kCPU, on_cpu));
  op.callBoxed(&stack);
  return stack;
}

std::optional<Stack> run_on_meta(const Call& call) {
  Stack stack;
  try {
    for (const IValue& argument : call.arguments)
      stack.push_back(map_tensors(argument, c10::kMeta, on_meta));
    call.op.callBoxed(&stack);
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return stack;
}

bool returns_something_else_than_tensors(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns())
    if (result.type()->kind() != c10::TypeKind::TensorType) return true;
  return false;
}

bool returns_an_alias(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns())
    if (result.alias_info()) return true;
  return false;
}

bool writes(const c10::FunctionSchema& schema) {
  for (const auto& argument : schema.arguments())
    if (argument.alias_info() && argument.alias_info()->isWrite()) return true;
  return false;
}

// Structured operators arrive with an out tensor of the right size; an empty one gets resized.
bool may_resize_out(const Call& call) {
  for (size_t i = 0; i < call.arguments.size(); i++) {
    const auto& argument = call.schema.arguments()[i];
    const bool is_out = argument.kwarg_only() && argument.alias_info();
    if (is_out && call.arguments[i].isTensor() && call.arguments[i].toTensor().numel() == 0)
      return true;
  }
  return false;
}

// Why the call cannot be asynchronous, from its signature alone; null when it can.
const char* reason_to_synchronize(const Call& call) {
  if (call.device < 0) return "no device tensor";
  if (returns_something_else_than_tensors(call.schema)) return "non-tensor result";
  if (may_resize_out(call)) return "out= may need resize";
  if (!writes(call.schema) && returns_an_alias(call.schema)) return "view op without kernel";
  return nullptr;
}

void synchronize_and_run(const Call& call, Stack* stack, const char* why) {
  if (traces_synchronizations())
    std::fprintf(stderr, "[sim sync] %s.%s (%s)\n", call.schema.name().c_str(),
                 call.schema.overload_name().c_str(), why);
  if (call.device >= 0) current_stream(call.device).synchronize();
  at::native::cpu_fallback(call.op, stack);
}

// An in-place operator returns the arguments that it writes to.
std::vector<IValue> written_arguments(const Call& call) {
  std::vector<IValue> written;
  for (const auto& result : call.schema.returns()) {
    for (size_t i = 0; i < call.arguments.size(); i++) {
      const auto* alias = call.schema.arguments()[i].alias_info();
      if (!alias || !result.alias_info() || !(*alias == *result.alias_info())) continue;
      written.push_back(call.arguments[i]);
      break;
    }
  }
  return written;
}

std::vector<IValue> launch_in_place(const Call& call) {
  launch(
      call.device, [op = call.op, arguments = call.arguments] { run_on_cpu(op, arguments); },
      call.schema.name());
  return written_arguments(call);
}

std::vector<IValue> launch_functional(const Call& call, const Stack& shapes) {
  const c10::Device device(c10::DeviceType::PrivateUse1, call.device);
  std::vector<Tensor> results;
  for (const IValue& shape : shapes) {
    const Tensor& meta = shape.toTensor();
    results.push_back(meta.defined() ? at::empty_strided(meta.sizes(), meta.strides(),
                                                         meta.options().device(device))
                                     : meta);
  }
  const auto body = [op = call.op, arguments = call.arguments, results] {
    const Stack computed = run_on_cpu(op, arguments);
    for (size_t i = 0; i < results.size(); i++)
      if (results[i].defined()) on_cpu(results[i]).copy_(computed[i].toTensor());
  };
  launch(call.device, body, call.schema.name());
  return {results.begin(), results.end()};
}

void replace_arguments(Stack* stack, size_t count, const std::vector<IValue>& results) {
  torch::jit::drop(*stack, count);
  stack->insert(stack->end(), results.begin(), results.end());
}

void run_operator(const c10::OperatorHandle& op, Stack* stack) {
  const auto& schema = op.schema();
  const size_t count = schema.arguments().size();
  const std::vector<IValue> arguments = torch::jit::last(*stack, count).vec();
  const Call call{op, schema, arguments, device_of(arguments)};
  if (const char* why = reason_to_synchronize(call)) return synchronize_and_run(call, stack, why);
  if (writes(schema)) return replace_arguments(stack, count, launch_in_place(call));
  const auto shapes = run_on_meta(call);
  if (!shapes) return synchronize_and_run(call, stack, "no meta kernel / data dependent");
  replace_arguments(stack, count, launch_functional(call, *shapes));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_operator>());
}

}  // namespace
}  // namespace sim
