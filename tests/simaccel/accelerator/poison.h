// A failed device-side assertion: as on CUDA the device is lost for the rest of the process, and
// every later synchronization says so. (A kernel that merely raises is reported once, by stream.h.)
#pragma once

#include <string>

namespace sim {

void poison(int device, const std::string& message);  // the first message stays
void raise_if_poisoned(int device);

}  // namespace sim
