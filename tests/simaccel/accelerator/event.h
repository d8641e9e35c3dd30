// Events: marks in a stream that carry the time at which the stream came to them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "stream.h"

namespace sim {

class Event : public std::enable_shared_from_this<Event> {
 public:
  Event(int device, bool timing) : device_(device), timing_(timing) {}

  void record(StreamQueue& stream);  // a mark at the end of what is queued
  void block(StreamQueue& stream);   // work queued after this waits for the mark
  bool reached();
  void synchronize();  // the host waits
  double milliseconds_until(Event& end);

 private:
  void wait_for(uint64_t recording);
  void mark(uint64_t recording);
  uint64_t last_recording();

  const int device_;
  const bool timing_;
  std::mutex mutex_;
  std::condition_variable marked_;
  uint64_t recordings_ = 0;  // how often record() was called
  uint64_t reached_ = 0;     // the last of them that the stream came to
  uint64_t time_ns_ = 0;     // when it did
};

}  // namespace sim
