// Reading the busy log: how much of a window a device was busy.
#ifndef SIMACCEL_NVML_BUSY_WINDOW_H_
#define SIMACCEL_NVML_BUSY_WINDOW_H_

#include <stdint.h>

int has_log(void);              // is there an accelerator's log to read (yet)?
uint64_t log_started_ns(void);  // 0 without a log
uint64_t memory_used(int device);

// Length of the union of the device's busy intervals within [start, end). Exact, as far back as the
// log's ring goes; costs what lies in the window.
uint64_t busy_ns(int device, uint64_t start_ns, uint64_t end_ns);

// The same, with gaps between two intervals that are no longer than gap_ns counted in.
uint64_t busy_and_gaps_ns(int device, uint64_t start_ns, uint64_t end_ns, uint64_t gap_ns);

// The same since the log was started, for counters that only grow. A total remembers what it has
// already added up, so each part of the log is read once. Use one per device and counter.
typedef struct {
  uint64_t until_ns;
  uint64_t busy_ns;
} BusyTotal;

uint64_t busy_since_start_ns(BusyTotal* total, int device, uint64_t end_ns);

// 0..1
double busy_fraction(int device, uint64_t end_ns, uint64_t length_ns);

#endif  // SIMACCEL_NVML_BUSY_WINDOW_H_
