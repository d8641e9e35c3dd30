// Launching a kernel: the call returns at once, the body runs later on the stream's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace sim {

// Queues body on the calling thread's current stream of the device; the name is the profiler's.
void launch(int device, std::function<void()> body, const std::string& name = "kernel");

extern std::atomic<uint64_t> launch_count;

}  // namespace sim
