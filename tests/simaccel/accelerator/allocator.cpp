// Allocates from the host's heap; a header in front of each block says whose it is. No cache:
// reserved and allocated memory are the same.
#include "allocator.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "../busy_log.h"
#include "config.h"
#include "log_writer.h"
#include "stream.h"

namespace sim {
namespace {

using c10::CachingDeviceAllocator::DeviceStats;

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
constexpr size_t kAlignment = 64;

struct alignas(kAlignment) BlockHeader {
  size_t bytes;
  int device;
};

void free_block(void* data);

class DeviceMemory final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const int device = current_device();
    if (bytes == 0) return {nullptr, nullptr, &free_block, c10::Device(kDevice, device)};
    {
      std::lock_guard lock(mutex_);
      take(device, bytes);
    }
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    auto* header =
        static_cast<BlockHeader*>(std::aligned_alloc(kAlignment, sizeof(BlockHeader) + rounded));
    *header = {bytes, device};
    void* data = header + 1;
    return {data, data, &free_block, c10::Device(kDevice, device)};
  }

  void give_back(int device, size_t bytes) {
    std::lock_guard lock(mutex_);
    DeviceStats& stats = stats_[device];
    stats.allocation[0].decrease(1);
    for (auto* counter : byte_counters(stats)) (*counter)[0].decrease(bytes);
    stats.num_device_free++;
    log_memory_used(device, stats.allocated_bytes[0].current);
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}

  DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    return stats_[device];
  }

  void resetAccumulatedStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    stats_[device].allocated_bytes[0].reset_accumulated();
  }

  void resetPeakStats(c10::DeviceIndex device) override {
    std::lock_guard lock(mutex_);
    stats_[device].allocation[0].reset_peak();
    for (auto* counter : byte_counters(stats_[device])) (*counter)[0].reset_peak();
  }

  // Not marked as an override: the allocator of torch 2.9 does not have it.
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) {
    std::lock_guard lock(mutex_);
    const size_t used = stats_[device].allocated_bytes[0].current;
    return {memory_limit_bytes() - used, memory_limit_bytes()};
  }

 private:
  static std::array<decltype(DeviceStats::allocated_bytes)*, 4> byte_counters(DeviceStats& stats) {
    return {&stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
            &stats.requested_bytes};
  }

  void take(int device, size_t bytes) {
    DeviceStats& stats = stats_[device];
    if (stats.allocated_bytes[0].current + bytes > memory_limit_bytes()) {
      stats.num_ooms++;
      C10_THROW_ERROR(OutOfMemoryError, c10::str("sim out of memory. Tried to allocate ", bytes,
                                                 " bytes; capacity ", memory_limit_bytes()));
    }
    stats.allocation[0].increase(1);
    for (auto* counter : byte_counters(stats)) (*counter)[0].increase(bytes);
    stats.num_device_alloc++;
    log_memory_used(device, stats.allocated_bytes[0].current);
  }

  std::mutex mutex_;
  std::array<DeviceStats, BUSY_LOG_DEVICES> stats_;
};

// Never destroyed: tensors may be freed while the process ends.
DeviceMemory& device_memory() {
  static auto* const memory = new DeviceMemory;
  return *memory;
}

void free_block(void* data) {
  if (!data) return;
  BlockHeader* header = static_cast<BlockHeader*>(data) - 1;
  device_memory().give_back(header->device, header->bytes);
  std::free(header);
}

}  // namespace

c10::Allocator* device_allocator() { return &device_memory(); }

namespace {

[[maybe_unused]] const bool registered = [] {
  const uint8_t priority = 10;  // above what torch itself may have set
  c10::SetAllocator(kDevice, device_allocator(), priority);
  return true;
}();

}  // namespace
}  // namespace sim
