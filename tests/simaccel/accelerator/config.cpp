// Reads the SIM_* variables, once each.
#include "config.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "../busy_log.h"

namespace sim {
namespace {

double number_from_environment(const char* name, double otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? std::atof(value) : otherwise;
}

std::atomic<int64_t>& min_kernel_ns() {
  static std::atomic<int64_t> value(
      static_cast<int64_t>(1e3 * number_from_environment("SIM_MIN_KERNEL_US", 0)));
  return value;
}

std::atomic<double>& slowdown() {
  static std::atomic<double> value(number_from_environment("SIM_SLOW", 1));
  return value;
}

}  // namespace

int device_count() {
  static const int count =
      std::clamp(static_cast<int>(number_from_environment("SIM_DEVICES", 2)), 1, BUSY_LOG_DEVICES);
  return count;
}

uint64_t memory_limit_bytes() {
  static const auto limit =
      static_cast<uint64_t>(number_from_environment("SIM_MEM_MB", 4096) * 1048576);
  return limit;
}

uint64_t failing_kernel() {
  static const auto number =
      static_cast<uint64_t>(number_from_environment("SIM_KERNEL_ERROR_AFTER", 0));
  return number;
}

bool traces_synchronizations() {
  static const bool traces = std::getenv("SIM_TRACE") != nullptr;
  return traces;
}

uint64_t queue_length() {
  static const auto length = static_cast<uint64_t>(number_from_environment("SIM_QUEUE", 0));
  return length;
}

uint64_t profiler_ns() {
  static const auto price =
      static_cast<uint64_t>(1e3 * number_from_environment("SIM_PROFILER_US", 0));
  return price;
}

uint64_t simulated_duration_ns(uint64_t elapsed_ns) {
  const auto slowed = static_cast<uint64_t>(static_cast<double>(elapsed_ns) * slowdown());
  return std::max<uint64_t>(min_kernel_ns(), slowed);
}

void set_min_kernel_us(double microseconds) {
  min_kernel_ns() = static_cast<int64_t>(microseconds * 1e3);
}

void set_slowdown(double factor) { slowdown() = factor; }

}  // namespace sim
