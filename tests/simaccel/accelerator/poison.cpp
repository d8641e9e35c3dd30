// Remembers, per device, the assertion that failed there.
#include "poison.h"

#include <c10/util/Exception.h>

#include <array>
#include <mutex>

#include "../busy_log.h"

namespace sim {
namespace {

std::mutex mutex;
std::array<std::string, BUSY_LOG_DEVICES> messages;

}  // namespace

void poison(int device, const std::string& message) {
  std::lock_guard lock(mutex);
  if (messages[device].empty()) messages[device] = message;
}

void raise_if_poisoned(int device) {
  std::lock_guard lock(mutex);
  if (messages[device].empty()) return;
  const c10::SourceLocation here = {__func__, __FILE__, static_cast<uint32_t>(__LINE__)};
  throw c10::AcceleratorError(here, 710, "sim asynchronous error: " + messages[device]);
}

}  // namespace sim
