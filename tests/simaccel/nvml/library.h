// What every file of the simulated libnvidia-ml.so.1 needs: how an exported function begins, the
// devices behind the handles, the clock and the environment.
#ifndef SIMACCEL_NVML_LIBRARY_H_
#define SIMACCEL_NVML_LIBRARY_H_

#define NVML_NO_UNVERSIONED_FUNC_DEFS  // nvmlInit and nvmlInit_v2 are both exported
#include <nvml.h>
#include <stdint.h>

#include "../busy_log.h"
#include "faults.h"

#define MAX_DEVICES BUSY_LOG_DEVICES
#define MIG_INSTANCE 7  // the id of the GPU instance that the accelerator runs on

// All else is hidden (-fvisibility=hidden).
#define EXPORT __attribute__((visibility("default")))

struct nvmlDevice_st {
  int index;
  int is_instance;  // of a partitioned board (MIG): the one that the accelerator runs on
};

int device_count(void);                   // NVMLSTUB_COUNT
nvmlDevice_t device_handle(int index);    // NULL when there is none
nvmlDevice_t instance_handle(int index);  // NULL when there is none, or MIG is off
int is_device(nvmlDevice_t device);
int is_shared_board(nvmlDevice_t device);  // partitioned, so that others compute on it too

uint64_t now_ns(void);        // CLOCK_MONOTONIC, like the busy log
uint64_t real_time_ns(void);  // CLOCK_REALTIME

long setting(const char* name, long otherwise);  // a number from the environment

// Is the library initialized? If so, does this call fail on demand, and how long does it take?
nvmlReturn_t enter(const char* function);

#define ENTER()                                  \
  do {                                           \
    nvmlReturn_t entered = enter(__func__);      \
    if (entered != NVML_SUCCESS) return entered; \
  } while (0)

#define ENTER_WITH_DEVICE(device)                               \
  do {                                                          \
    ENTER();                                                    \
    if (!is_device(device)) return NVML_ERROR_INVALID_ARGUMENT; \
  } while (0)

nvmlReturn_t copy_string(char* to, unsigned int size, const char* from);

#endif  // SIMACCEL_NVML_LIBRARY_H_
