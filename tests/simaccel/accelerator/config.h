// What the environment says about the simulated devices, and the switches that tests may turn.
#pragma once

#include <cstdint>

namespace sim {

int device_count();              // SIM_DEVICES
uint64_t memory_limit_bytes();   // SIM_MEM_MB, per device
uint64_t failing_kernel();       // SIM_KERNEL_ERROR_AFTER: which launch fails; 0 = none
bool traces_synchronizations();  // SIM_TRACE
uint64_t queue_length();         // SIM_QUEUE: launches that wait before the host does; 0 = any
uint64_t profiler_ns();          // SIM_PROFILER_US: what each recorded call of the host costs more

// How long a kernel takes that really took elapsed_ns (SIM_MIN_KERNEL_US, SIM_SLOW).
uint64_t simulated_duration_ns(uint64_t elapsed_ns);
void set_min_kernel_us(double microseconds);
void set_slowdown(double factor);

}  // namespace sim
