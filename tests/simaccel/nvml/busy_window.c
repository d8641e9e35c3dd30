// Maps the busy log for reading and measures windows of it (../busy_log.h says how it is ordered).
#include "busy_window.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../busy_log.h"

// In a full ring the oldest entries may be overwritten while they are read: stay clear of them.
#define OVERWRITE_MARGIN 1024

static const BusyLog* map_log(const char* path) {
  const int file = open(path, O_RDONLY);
  if (file < 0) return NULL;
  struct stat status;
  void* memory = MAP_FAILED;
  if (!fstat(file, &status) && status.st_size >= (off_t)sizeof(BusyLog))
    memory = mmap(NULL, sizeof(BusyLog), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return NULL;
  const BusyLog* log = memory;
  if (busy_log_load(&log->magic) == BUSY_LOG_MAGIC) return log;
  munmap(memory, sizeof(BusyLog));
  return NULL;
}

// The monitor may start before the accelerator, so this tries again until there is a log.
static const BusyLog* busy_log(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static const BusyLog* log;
  const char* path = getenv("NVMLSTUB_STATE");
  pthread_mutex_lock(&mutex);
  if (!log && path) log = map_log(path);
  const BusyLog* found = log;
  pthread_mutex_unlock(&mutex);
  return found;
}

int has_log(void) { return busy_log() != NULL; }

uint64_t log_started_ns(void) { return has_log() ? busy_log()->started_ns : 0; }

uint64_t memory_used(int device) {
  return has_log() ? busy_log_load(&busy_log()->devices[device].memory_used) : 0;
}

static const BusyInterval* entry(const DeviceLog* log, uint64_t index) {
  return &log->ring[index % BUSY_LOG_CAPACITY];
}

static uint64_t oldest_readable(uint64_t count) {
  return count < BUSY_LOG_CAPACITY ? 0 : count - BUSY_LOG_CAPACITY + OVERWRITE_MARGIN;
}

// The first entry in [low, high) that starts at or after the given time, by bisection.
static uint64_t first_starting_at(const DeviceLog* log, uint64_t low, uint64_t high,
                                  uint64_t time_ns) {
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (busy_log_load(&entry(log, middle)->start_ns) < time_ns)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// The first entry that can reach into a window: no interval is longer than the longest one, except
// for those that still run, and these come no earlier than oldest_open.
static uint64_t first_reaching(const DeviceLog* log, uint64_t count, uint64_t start_ns) {
  const uint64_t oldest = oldest_readable(count);
  const uint64_t open = busy_log_load(&log->oldest_open);
  const uint64_t longest = busy_log_load(&log->longest_ns);
  const uint64_t since = start_ns > longest ? start_ns - longest : 0;
  const uint64_t ended = first_starting_at(log, oldest, count, since);
  const uint64_t first = open < ended ? open : ended;
  return first > oldest ? first : oldest;
}

uint64_t busy_ns(int device, uint64_t start_ns, uint64_t end_ns) {
  return busy_and_gaps_ns(device, start_ns, end_ns, 0);
}

uint64_t busy_and_gaps_ns(int device, uint64_t start_ns, uint64_t end_ns, uint64_t gap_ns) {
  const BusyLog* board = busy_log();
  if (!board || end_ns <= start_ns) return 0;
  const DeviceLog* log = &board->devices[device];
  const uint64_t count = busy_log_load(&log->count);
  uint64_t total = 0, counted_until = start_ns;
  for (uint64_t i = first_reaching(log, count, start_ns); i < count; i++) {
    const uint64_t end = busy_log_load(&entry(log, i)->end_ns);
    const uint64_t start = busy_log_load(&entry(log, i)->start_ns);
    if (start >= end_ns) break;
    const int after_gap = start > counted_until && (counted_until == start_ns ||
                                                    start - counted_until > gap_ns);
    const uint64_t from = after_gap ? start : counted_until;
    const uint64_t to = end < end_ns ? end : end_ns;
    if (to <= from) continue;
    total += to - from;
    counted_until = to;
  }
  return total;
}

uint64_t busy_since_start_ns(BusyTotal* total, int device, uint64_t end_ns) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  if (total->until_ns == 0) total->until_ns = log_started_ns();
  if (total->until_ns != 0 && end_ns > total->until_ns) {
    total->busy_ns += busy_ns(device, total->until_ns, end_ns);
    total->until_ns = end_ns;
  }
  const uint64_t busy = total->busy_ns;
  pthread_mutex_unlock(&mutex);
  return busy;
}

double busy_fraction(int device, uint64_t end_ns, uint64_t length_ns) {
  return (double)busy_ns(device, end_ns - length_ns, end_ns) / (double)length_ns;
}
