// Recording, waiting for and timing events.
#include "event.h"

#include <c10/util/Exception.h>

#include "../busy_log.h"
#include "poison.h"

namespace sim {

void Event::record(StreamQueue& stream) {
  uint64_t recording;
  {
    std::lock_guard lock(mutex_);
    recording = ++recordings_;
  }
  stream.push([self = shared_from_this(), recording] { self->mark(recording); });
}

void Event::mark(uint64_t recording) {
  {
    std::lock_guard lock(mutex_);
    reached_ = recording;
    time_ns_ = busy_log_now_ns();
  }
  marked_.notify_all();
}

void Event::block(StreamQueue& stream) {
  const uint64_t recording = last_recording();
  stream.push([self = shared_from_this(), recording] { self->wait_for(recording); });
}

uint64_t Event::last_recording() {
  std::lock_guard lock(mutex_);
  return recordings_;
}

void Event::wait_for(uint64_t recording) {
  std::unique_lock lock(mutex_);
  marked_.wait(lock, [&] { return reached_ >= recording; });
}

bool Event::reached() {
  raise_if_poisoned(device_);
  std::lock_guard lock(mutex_);
  return reached_ >= recordings_;
}

void Event::synchronize() {
  synchronization_count++;
  wait_for(last_recording());
  raise_if_poisoned(device_);
}

double Event::milliseconds_until(Event& end) {
  TORCH_CHECK(timing_ && end.timing_, "events need enable_timing=True");
  TORCH_CHECK(reached() && end.reached(),
              "sim: device not ready (synchronize the end event first)");
  return (static_cast<double>(end.time_ns_) - static_cast<double>(time_ns_)) / 1e6;
}

}  // namespace sim
