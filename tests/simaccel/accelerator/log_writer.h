// The accelerator's side of the busy log (../busy_log.h): entries are added here and nowhere else.
#pragma once

#include <cstdint>

namespace sim {

// Logs the device as busy from its construction to its destruction. Without NVMLSTUB_STATE there is
// no log, and this does nothing.
class BusyEntry {
 public:
  explicit BusyEntry(int device);
  ~BusyEntry();
  BusyEntry(const BusyEntry&) = delete;
  BusyEntry& operator=(const BusyEntry&) = delete;

 private:
  int device_;
  uint64_t index_ = 0;
};

void log_memory_used(int device, uint64_t bytes);

}  // namespace sim
