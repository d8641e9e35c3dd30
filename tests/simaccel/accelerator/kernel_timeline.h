// What torch.profiler is told of the device: kernels, their launches and waits for the device.
#pragma once

#include <cstdint>
#include <string>

namespace sim {

// A call of the host that the profiler shows: a launch, a synchronization. Records nothing unless a
// profiler runs.
class RuntimeCall {
 public:
  explicit RuntimeCall(const char* name);
  ~RuntimeCall();
  RuntimeCall(const RuntimeCall&) = delete;
  RuntimeCall& operator=(const RuntimeCall&) = delete;

  uint32_t correlation() const { return correlation_; }  // 0: no profiler runs

 private:
  const char* name_;
  uint64_t start_ns_ = 0;
  uint32_t correlation_ = 0;
};

// A kernel has run; does nothing for correlation 0.
void record_kernel(uint32_t correlation, const std::string& name, int device, int64_t stream,
                   uint64_t start_ns, uint64_t end_ns);

}  // namespace sim
