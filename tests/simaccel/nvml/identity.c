// Which devices there are: versions, handles, names, the processes that use them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "busy_window.h"
#include "library.h"

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  ENTER();
  return copy_string(version, length, "580.65.06");
}

EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned int length) {
  ENTER();
  return copy_string(version, length, "13.580.65.06");
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* version) {
  ENTER();
  *version = 13000;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
  ENTER();
  if (!count) return NVML_ERROR_INVALID_ARGUMENT;
  *count = (unsigned int)device_count();
  return NVML_SUCCESS;
}

// The same as torch.sim.get_device_properties(index).uuid, which has no "GPU-" in front. (So the
// accelerator gives the board's for an instance, as CUDA before version 13 does.)
static void write_uuid(nvmlDevice_t device, char* to) {
  sprintf(to, "%s-5eb9f0%02x-0000-4000-8000-%012x", device->is_instance ? "MIG" : "GPU",
          device->index, device->index);
}

static int bus_number(int index) { return 0x10 + 0x11 * index; }

static void write_bus_id(int index, char* to) {
  sprintf(to, "00000000:%02X:00.0", bus_number(index));
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  ENTER();
  if (!device || !device_handle((int)index)) return NVML_ERROR_INVALID_ARGUMENT;
  *device = device_handle((int)index);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  ENTER();
  char own[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
  for (int index = 0; index < device_count(); index++) {
    const nvmlDevice_t either[] = {device_handle(index), instance_handle(index)};
    for (int i = 0; i < 2 && either[i]; i++) {
      write_uuid(either[i], own);
      if (strcmp(own, uuid)) continue;
      *device = either[i];
      return NVML_SUCCESS;
    }
  }
  return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, nvmlDevice_t* device) {
  ENTER();
  char own[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
  for (int index = 0; index < device_count(); index++) {
    write_bus_id(index, own);
    const char* with_short_domain = own + 4;
    if (strcasecmp(own, bus_id) && strcasecmp(with_short_domain, bus_id)) continue;
    *device = device_handle(index);
    return NVML_SUCCESS;
  }
  return NVML_ERROR_NOT_FOUND;
}

EXPORT nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
  ENTER_WITH_DEVICE(device);
  *index = (unsigned int)device->index;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  ENTER_WITH_DEVICE(device);
  char own[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
  write_uuid(device, own);
  return copy_string(uuid, length, own);
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  ENTER_WITH_DEVICE(device);
  const char* given = getenv("NVMLSTUB_NAME");
  return copy_string(name, length, given ? given : "NVIDIA H100 80GB HBM3");
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  ENTER_WITH_DEVICE(device);
  memset(pci, 0, sizeof *pci);
  write_bus_id(device->index, pci->busId);
  strcpy(pci->busIdLegacy, pci->busId + 4);
  pci->bus = (unsigned int)bus_number(device->index);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major,
                                                       int* minor) {
  ENTER_WITH_DEVICE(device);
  *major = 9;
  *minor = 0;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int* is_instance) {
  ENTER_WITH_DEVICE(device);
  *is_instance = (unsigned int)device->is_instance;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance,
                                                                 nvmlDevice_t* board) {
  ENTER_WITH_DEVICE(instance);
  if (!instance->is_instance) return NVML_ERROR_INVALID_ARGUMENT;
  *board = device_handle(instance->index);
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int* id) {
  ENTER_WITH_DEVICE(device);
  if (!device->is_instance) return NVML_ERROR_NOT_SUPPORTED;
  *id = MIG_INSTANCE;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int* current,
                                         unsigned int* pending) {
  ENTER_WITH_DEVICE(device);
  *current = *pending = (unsigned int)setting("NVMLSTUB_MIG", 0);
  return NVML_SUCCESS;
}

// As seen from the process that asks: the process that uses the device is always the asking one.
EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device,
                                                            unsigned int* count,
                                                            nvmlProcessInfo_t* processes) {
  ENTER_WITH_DEVICE(device);
  const unsigned int room = processes ? *count : 0;
  *count = has_log() ? 1 : 0;
  if (*count == 0) return NVML_SUCCESS;
  if (room == 0) return NVML_ERROR_INSUFFICIENT_SIZE;
  memset(processes, 0, sizeof *processes);
  processes->pid = (unsigned int)getpid();
  processes->usedGpuMemory = memory_used(device->index);
  processes->gpuInstanceId = processes->computeInstanceId = ~0u;
  return NVML_SUCCESS;
}
