// The accelerator's side of the busy log (../busy_log.h): entries are added here and nowhere else.
#pragma once

#include <cstdint>
#include <utility>

namespace sim {

// Logs the device as busy from its construction to its destruction. Without NVMLSTUB_STATE there is
// no log, and this does nothing.
class BusyEntry {
 public:
  explicit BusyEntry(int device);
  ~BusyEntry();

  // Ends it now; returns when it began and ended.
  std::pair<uint64_t, uint64_t> end();
  BusyEntry(const BusyEntry&) = delete;
  BusyEntry& operator=(const BusyEntry&) = delete;

 private:
  int device_;
  bool ended_ = false;
  uint64_t start_ns_ = 0;
  uint64_t index_ = 0;
};

void log_memory_used(int device, uint64_t bytes);

}  // namespace sim
