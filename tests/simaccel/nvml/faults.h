// Failing on demand.
#ifndef SIMACCEL_NVML_FAULTS_H_
#define SIMACCEL_NVML_FAULTS_H_

#include <nvml.h>

// The code that NVMLSTUB_FAULT asks this call of the function to return, else NVML_SUCCESS.
// Counts the call. Does not return for an hour when the fault is "hang".
nvmlReturn_t demanded_fault(const char* function);

#endif  // SIMACCEL_NVML_FAULTS_H_
