// Maps the log file and adds entries to it. Several processes may write to one file at a time.
#include "log_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "../busy_log.h"

namespace sim {
namespace {

BusyLog* map_log() {
  const char* path = std::getenv("NVMLSTUB_STATE");
  if (!path) return nullptr;
  const int file = open(path, O_RDWR | O_CREAT, 0600);
  if (file < 0) return nullptr;
  void* memory = MAP_FAILED;
  // The file is sparse: only entries that were written take room on the disk.
  if (ftruncate(file, sizeof(BusyLog)) == 0)
    memory = mmap(nullptr, sizeof(BusyLog), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return nullptr;
  auto* log = static_cast<BusyLog*>(memory);
  if (busy_log_load(&log->magic) != BUSY_LOG_MAGIC) {
    busy_log_store(&log->started_ns, busy_log_now_ns());
    busy_log_store(&log->magic, BUSY_LOG_MAGIC);
  }
  return log;
}

DeviceLog* device_log(int device) {
  static BusyLog* const log = map_log();
  return log ? &log->devices[device] : nullptr;
}

BusyInterval& entry(DeviceLog& log, uint64_t index) { return log.ring[index % BUSY_LOG_CAPACITY]; }

uint64_t add_running(DeviceLog& log, uint64_t start_ns) {
  busy_log_lock(&log);
  const uint64_t index = log.count;
  BusyInterval& interval = entry(log, index);
  busy_log_store(&interval.end_ns, BUSY_LOG_RUNNING);
  busy_log_store(&interval.start_ns, start_ns);
  busy_log_store(&log.count, index + 1);
  busy_log_unlock(&log);
  return index;
}

void end_running(DeviceLog& log, uint64_t index, uint64_t end) {
  busy_log_lock(&log);
  BusyInterval& interval = entry(log, index);
  busy_log_store(&log.longest_ns, std::max(log.longest_ns, end - interval.start_ns));
  busy_log_store(&interval.end_ns, end);
  uint64_t open = log.oldest_open;
  while (open < log.count && entry(log, open).end_ns != BUSY_LOG_RUNNING) open++;
  busy_log_store(&log.oldest_open, open);
  busy_log_unlock(&log);
}

}  // namespace

BusyEntry::BusyEntry(int device) : device_(device), start_ns_(busy_log_now_ns()) {
  if (DeviceLog* log = device_log(device_)) index_ = add_running(*log, start_ns_);
}

BusyEntry::~BusyEntry() { end(); }

std::pair<uint64_t, uint64_t> BusyEntry::end() {
  const uint64_t end_ns = busy_log_now_ns();
  DeviceLog* log = device_log(device_);
  if (log && !ended_) end_running(*log, index_, end_ns);
  ended_ = true;
  return {start_ns_, end_ns};
}

void log_memory_used(int device, uint64_t bytes) {
  if (DeviceLog* log = device_log(device)) busy_log_store(&log->memory_used, bytes);
}

}  // namespace sim
