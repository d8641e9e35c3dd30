// NVMLSTUB_FAULT="function:code[:after_calls];...", where code is an NVML error code or "hang".
// The fault begins after that many calls of the function have gone well, and stays.
#include "faults.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_FAULTS 64  // entries of NVMLSTUB_FAULT that have a call counter of their own

// Like a driver that never answers. Signals do not end it, unless they end the process.
static void hang(void) {
  struct timespec left = {3600, 0};
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

static int names(const char* entry, const char* function) {
  const size_t length = strcspn(entry, ":;");
  return entry[length] == ':' && length == strlen(function) && !strncmp(entry, function, length);
}

// What follows the code, as a number of calls; 0 when nothing does.
static long after_calls(const char* code) {
  const size_t length = strcspn(code, ":;");
  return code[length] == ':' ? strtol(code + length + 1, NULL, 10) : 0;
}

nvmlReturn_t demanded_fault(const char* function) {
  static _Atomic long calls[MAX_FAULTS];
  const char* entry = getenv("NVMLSTUB_FAULT");
  for (int i = 0; entry && *entry && i < MAX_FAULTS; i++) {
    if (names(entry, function)) {
      const char* code = entry + strlen(function) + 1;
      if (atomic_fetch_add(&calls[i], 1) >= after_calls(code)) {
        if (strncmp(code, "hang", 4)) return (nvmlReturn_t)strtol(code, NULL, 10);
        hang();
      }
    }
    entry += strcspn(entry, ";");
    if (*entry) entry++;
  }
  return NVML_SUCCESS;
}
