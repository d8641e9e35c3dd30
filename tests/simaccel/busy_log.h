// The log of busy intervals: one file, mapped by three readers and writers.
//
// The accelerator (C++) writes an entry for each kernel, the NVML library (C) and truth.py (Python)
// read them. It is what makes the simulation useful: what NVML reports can be compared with what
// really ran. Plain C and C++ both include this header; truth.py repeats the layout by hand, and
// test_simaccel.py holds the two together.
//
// Entries of one device are in the order of their start, because the start is stamped under the
// device's lock. So a window is found by bisection and no reading has to scan the whole ring.
#ifndef SIMACCEL_BUSY_LOG_H_
#define SIMACCEL_BUSY_LOG_H_

#include <sched.h>
#include <stdint.h>
#include <time.h>

#define BUSY_LOG_MAGIC 0x32474f4c59535542ull  // "BUSYLOG2", written last when the file is made
#define BUSY_LOG_DEVICES 8
#define BUSY_LOG_CAPACITY (1u << 20)  // entries per device; older ones are overwritten
#define BUSY_LOG_RUNNING UINT64_MAX   // the end of an interval that has not ended

// All times are CLOCK_MONOTONIC in nanoseconds (Python: time.monotonic_ns()).
typedef struct {
  uint64_t start_ns;
  uint64_t end_ns;
} BusyInterval;

typedef struct {
  uint64_t count;        // entries ever written; entry i lies at ring[i % BUSY_LOG_CAPACITY]
  uint64_t oldest_open;  // every entry before this one has ended
  uint64_t longest_ns;   // the longest interval that has ended
  uint64_t memory_used;  // bytes allocated on the device
  uint64_t lock;         // 1 while an entry is added
  BusyInterval ring[BUSY_LOG_CAPACITY];
} DeviceLog;

typedef struct {
  uint64_t magic;
  uint64_t started_ns;  // when the file was made
  DeviceLog devices[BUSY_LOG_DEVICES];
} BusyLog;

static inline uint64_t busy_log_load(const uint64_t* field) {
  return __atomic_load_n(field, __ATOMIC_SEQ_CST);
}

static inline void busy_log_store(uint64_t* field, uint64_t value) {
  __atomic_store_n(field, value, __ATOMIC_SEQ_CST);
}

static inline uint64_t busy_log_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void busy_log_lock(DeviceLog* log) {
  while (__atomic_exchange_n(&log->lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

static inline void busy_log_unlock(DeviceLog* log) {
  __atomic_store_n(&log->lock, 0, __ATOMIC_RELEASE);
}

#endif  // SIMACCEL_BUSY_LOG_H_
