// Device memory: host memory with a limit, counted as a caching allocator counts it.
#pragma once

#include <c10/core/Allocator.h>

namespace sim {

c10::Allocator* device_allocator();

}  // namespace sim
