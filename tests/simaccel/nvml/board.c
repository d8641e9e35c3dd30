// Memory, power, energy, clocks and temperature: all follow from how busy the device was.
#include "board.h"

#include <stdlib.h>

#include "busy_window.h"
#include "library.h"

#define TOTAL_BYTES (80ull << 30)
#define OTHERS_BYTES (20ull << 30)   // what the other instances of a partitioned board hold
#define RESERVED_BYTES (512ull << 20)  // the driver's own
#define IDLE_W 70.0
#define BUSY_W 400.0

static uint64_t used_on(nvmlDevice_t device) {
  return memory_used(device->index) + (is_shared_board(device) ? OTHERS_BYTES : 0);
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  ENTER_WITH_DEVICE(device);
  memory->total = TOTAL_BYTES;
  memory->used = used_on(device) + RESERVED_BYTES;
  memory->free = memory->total - memory->used;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  ENTER_WITH_DEVICE(device);
  if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  memory->total = TOTAL_BYTES;
  memory->reserved = RESERVED_BYTES;
  memory->used = used_on(device);
  memory->free = memory->total - memory->used - memory->reserved;
  return NVML_SUCCESS;
}

unsigned int power_mw(double busy) {
  return (unsigned int)(1000 * (IDLE_W + (BUSY_W - IDLE_W) * busy));
}

// Averaged over one second, refreshed ten times a second.
static unsigned int current_power_mw(nvmlDevice_t device) {
  const uint64_t second = 1000000000, refresh = second / 10;
  return power_mw(busy_fraction(device->index, now_ns() / refresh * refresh, second));
}

static int draws_more_than_idle(nvmlDevice_t device) {
  return current_power_mw(device) > (unsigned int)(1000 * (IDLE_W + 1));
}

EXPORT nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* milliwatts) {
  ENTER_WITH_DEVICE(device);
  *milliwatts = current_power_mw(device);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device,
                                                        unsigned long long* millijoules) {
  ENTER_WITH_DEVICE(device);
  static BusyTotal energy[MAX_DEVICES];
  const unsigned long long before_the_log = 1000000;  // the counter began when the driver loaded
  const uint64_t refresh = (uint64_t)setting("NVMLSTUB_ENERGY_US", 20000) * 1000;
  const uint64_t until = now_ns() / refresh * refresh, since = log_started_ns();
  const double elapsed = until > since ? (double)(until - since) : 0;
  const double busy = (double)busy_since_start_ns(&energy[device->index], device->index, until);
  const double nanojoules = IDLE_W * elapsed + (BUSY_W - IDLE_W) * busy;
  *millijoules = before_the_log + (unsigned long long)(nanojoules / 1e6);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type,
                                           unsigned int* mhz) {
  ENTER_WITH_DEVICE(device);
  *mhz = type == NVML_CLOCK_MEM ? 2619 : draws_more_than_idle(device) ? 1755 : 345;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type,
                                              unsigned int* mhz) {
  ENTER_WITH_DEVICE(device);
  *mhz = type == NVML_CLOCK_MEM ? 2619 : 1980;
  return NVML_SUCCESS;
}

static unsigned long long clock_event_reasons(nvmlDevice_t device) {
  const char* given = getenv("NVMLSTUB_REASONS");
  if (given) return strtoull(given, NULL, 0);
  return draws_more_than_idle(device) ? 0 : nvmlClocksEventReasonGpuIdle;
}

EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device,
                                                           unsigned long long* reasons) {
  ENTER_WITH_DEVICE(device);
  *reasons = clock_event_reasons(device);
  return NVML_SUCCESS;
}

// The deprecated name.
EXPORT nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device,
                                                              unsigned long long* reasons) {
  ENTER_WITH_DEVICE(device);
  *reasons = clock_event_reasons(device);
  return NVML_SUCCESS;
}

static unsigned int celsius(nvmlDevice_t device) {
  return 34 + (unsigned int)((current_power_mw(device) / 1000.0 - IDLE_W) / 10);
}

// The deprecated name.
EXPORT nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                             unsigned int* temperature) {
  (void)sensor;
  ENTER_WITH_DEVICE(device);
  *temperature = celsius(device);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t* temperature) {
  ENTER_WITH_DEVICE(device);
  temperature->temperature = (int)celsius(device);
  return NVML_SUCCESS;
}
