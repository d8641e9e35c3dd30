// Starting and stopping the library, and what library.h declares.
#include "library.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// If one of these fails, the header does not describe the ABI that pynvml expects.
_Static_assert(sizeof(nvmlUtilization_t) == 8, "nvmlUtilization_t");
_Static_assert(sizeof(nvmlSample_t) == 16, "nvmlSample_t");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "nvmlMemory_v2_t");
_Static_assert(sizeof(nvmlProcessUtilizationSample_t) == 32, "nvmlProcessUtilizationSample_t");
_Static_assert(sizeof(nvmlGpmMetric_t) == 40, "nvmlGpmMetric_t");

static _Atomic int initializations;

static struct nvmlDevice_st devices[MAX_DEVICES] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static struct nvmlDevice_st instances[MAX_DEVICES] = {{0, 1}, {1, 1}, {2, 1}, {3, 1},
                                                      {4, 1}, {5, 1}, {6, 1}, {7, 1}};

int device_count(void) {
  const long count = setting("NVMLSTUB_COUNT", 2);
  if (count < 0) return 0;
  return count > MAX_DEVICES ? MAX_DEVICES : (int)count;
}

nvmlDevice_t device_handle(int index) {
  return index >= 0 && index < device_count() ? &devices[index] : NULL;
}

nvmlDevice_t instance_handle(int index) {
  return setting("NVMLSTUB_MIG", 0) && device_handle(index) ? &instances[index] : NULL;
}

static int lies_in(nvmlDevice_t device, nvmlDevice_t first) {
  return device && device >= first && device < first + device_count();
}

int is_device(nvmlDevice_t device) { return lies_in(device, devices) || lies_in(device, instances); }

int is_shared_board(nvmlDevice_t device) {
  return setting("NVMLSTUB_MIG", 0) && !device->is_instance;
}

uint64_t now_ns(void) { return busy_log_now_ns(); }

uint64_t real_time_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

long setting(const char* name, long otherwise) {
  const char* value = getenv(name);
  return value && *value ? atol(value) : otherwise;
}

nvmlReturn_t enter(const char* function) {
  if (!atomic_load(&initializations)) return NVML_ERROR_UNINITIALIZED;
  const long latency_us = setting("NVMLSTUB_LATENCY_US", 0);
  if (latency_us > 0) usleep((useconds_t)latency_us);
  return demanded_fault(function);
}

nvmlReturn_t copy_string(char* to, unsigned int size, const char* from) {
  if (!to) return NVML_ERROR_INVALID_ARGUMENT;
  if (strlen(from) + 1 > size) return NVML_ERROR_INSUFFICIENT_SIZE;
  strcpy(to, from);
  return NVML_SUCCESS;
}

// A driver without persistence mode initializes the GPUs first.
static nvmlReturn_t initialize(const char* function) {
  const long slow_us = setting("NVMLSTUB_INIT_US", 0);
  if (slow_us > 0) usleep((useconds_t)slow_us);
  const nvmlReturn_t fault = demanded_fault(function);
  if (fault == NVML_SUCCESS) atomic_fetch_add(&initializations, 1);
  return fault;
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  return initialize(__func__);
}

EXPORT nvmlReturn_t nvmlInit_v2(void) { return initialize(__func__); }

// torch.cuda._raw_device_count_nvml calls the unversioned name.
EXPORT nvmlReturn_t nvmlInit(void) { return initialize(__func__); }

EXPORT nvmlReturn_t nvmlShutdown(void) {
  if (!atomic_load(&initializations)) return NVML_ERROR_UNINITIALIZED;
  atomic_fetch_sub(&initializations, 1);
  return NVML_SUCCESS;
}

EXPORT const char* nvmlErrorString(nvmlReturn_t code) {
  static const char* const texts[] = {
      "Success",
      "Uninitialized",
      "Invalid Argument",
      "Not Supported",
      "Insufficient Permissions",
      "Already Initialized",
      "Not Found",
      "Insufficient Size",
      "Insufficient External Power",
      "Driver Not Loaded",
      "Timeout",
      "Interrupt Request Issue",
      "NVML Shared Library Not Found",
      "Function Not Found",
      "Corrupted infoROM",
      "GPU is lost",
      "GPU requires reset",
      "GPU access blocked by the operating system",
      "Driver/library version mismatch",
  };
  return (unsigned int)code < sizeof texts / sizeof *texts ? texts[code] : "Unknown Error";
}
