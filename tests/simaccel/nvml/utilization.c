// Utilization: the share of a sample window in which at least one kernel ran.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "busy_window.h"
#include "library.h"

static uint64_t window_ns(void) { return (uint64_t)setting("NVMLSTUB_PERIOD_US", 166667) * 1000; }

// Gaps shorter than NVMLSTUB_GAP_US count as busy: the engine stays active between two kernels.
static unsigned int percent(int device, uint64_t end_ns, uint64_t length_ns) {
  const uint64_t gap_ns = (uint64_t)setting("NVMLSTUB_GAP_US", 0) * 1000;
  const uint64_t busy = busy_and_gaps_ns(device, end_ns - length_ns, end_ns, gap_ns);
  return (unsigned int)(100.0 * (double)busy / (double)length_ns + 0.5);
}

static unsigned int memory_percent(unsigned int gpu_percent) { return gpu_percent / 2; }

// The driver refreshes its readings at the end of a window, not when it is asked.
static uint64_t last_multiple(uint64_t time_ns, uint64_t of_ns) { return time_ns / of_ns * of_ns; }

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* rates) {
  ENTER_WITH_DEVICE(device);
  if (setting("NVMLSTUB_MIG", 0)) return NVML_ERROR_NOT_SUPPORTED;
  rates->gpu = percent(device->index, last_multiple(now_ns(), window_ns()), window_ns());
  rates->memory = memory_percent(rates->gpu);
  return NVML_SUCCESS;
}

static int is_sampled(nvmlSamplingType_t type) {
  if (type == NVML_TOTAL_POWER_SAMPLES) return 1;
  if (setting("NVMLSTUB_MIG", 0)) return 0;
  return type == NVML_GPU_UTILIZATION_SAMPLES || type == NVML_MEMORY_UTILIZATION_SAMPLES;
}

static unsigned int sampled_value(nvmlSamplingType_t type, unsigned int gpu_percent) {
  if (type == NVML_TOTAL_POWER_SAMPLES) return power_mw(gpu_percent / 100.0);
  if (type == NVML_MEMORY_UTILIZATION_SAMPLES) return memory_percent(gpu_percent);
  return gpu_percent;
}

// Samples are stamped in the epoch's time or in the time since boot: both have been reported.
static uint64_t stamp_offset_ns(void) {
  return getenv("NVMLSTUB_TS_BOOT") ? 0 : real_time_ns() - now_ns();
}

EXPORT nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type,
                                         unsigned long long last_seen_us,
                                         nvmlValueType_t* value_type, unsigned int* count,
                                         nvmlSample_t* samples) {
  ENTER_WITH_DEVICE(device);
  if (!count || !value_type) return NVML_ERROR_INVALID_ARGUMENT;
  if (!is_sampled(type)) return NVML_ERROR_NOT_SUPPORTED;
  const unsigned int buffered = (unsigned int)setting("NVMLSTUB_NSAMPLES", 100);
  *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
  if (!samples) {
    *count = buffered;
    return NVML_SUCCESS;
  }
  if (*count == 0) return NVML_ERROR_INVALID_ARGUMENT;

  const uint64_t period = (uint64_t)setting("NVMLSTUB_SAMPLE_US", 20000) * 1000;
  const uint64_t window = (uint64_t)setting("NVMLSTUB_SAMPLE_WINDOW_US", 0) * 1000;
  const uint64_t newest = last_multiple(now_ns(), period), offset = stamp_offset_ns();
  unsigned int written = 0;
  for (unsigned int age = buffered; age-- > 0 && written < *count;) {
    const uint64_t end = newest - age * period, stamp_us = (end + offset) / 1000;
    if (stamp_us <= last_seen_us || end < log_started_ns()) continue;
    nvmlSample_t* sample = &samples[written++];
    sample->timeStamp = stamp_us;
    sample->sampleValue.ullVal = 0;
    sample->sampleValue.uiVal = 
        sampled_value(type, percent(device->index, end, window ? window : period));
  }
  *count = written;
  return written ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                    nvmlProcessUtilizationSample_t* samples,
                                                    unsigned int* count,
                                                    unsigned long long last_seen_us) {
  ENTER_WITH_DEVICE(device);
  if (!samples) {
    *count = 100;
    return NVML_ERROR_INSUFFICIENT_SIZE;
  }
  const uint64_t now = now_ns(), end = last_multiple(now, window_ns());
  const uint64_t stamp_us = (end + real_time_ns() - now) / 1000;
  const unsigned int gpu_percent = percent(device->index, end, window_ns());
  if (gpu_percent == 0 || stamp_us <= last_seen_us || *count == 0) {
    *count = 0;
    return NVML_ERROR_NOT_FOUND;
  }
  memset(samples, 0, sizeof *samples);
  samples->pid = (unsigned int)getpid();
  samples->timeStamp = stamp_us;
  samples->smUtil = gpu_percent;
  samples->memUtil = memory_percent(gpu_percent);
  *count = 1;
  return NVML_SUCCESS;
}
