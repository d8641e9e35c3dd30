// Streams: queues of work, each with a thread of its own that does it in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

namespace sim {

class StreamQueue {
 public:
  explicit StreamQueue(int device);

  void push(std::function<void()> work);  // returns at once, unless the queue is full
  void synchronize();                     // waits for all pushed so far; raises what went wrong
  bool idle();
  void abandon();  // drops what is queued and waits a moment for what runs

 private:
  void work_forever();
  void do_one();
  void wait_for_room(uint64_t most);

  const int device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  uint64_t pushed_ = 0;
  uint64_t done_ = 0;
  std::string error_;  // of the first kernel that failed since the last synchronization
};

int current_device();  // of the calling thread
void set_current_device(int device);

// Streams are numbered from 0 (the default stream) on each device and live as long as the process.
StreamQueue& stream(int device, int64_t id);
StreamQueue& current_stream(int device);
int64_t current_stream_id(int device);
int64_t exchange_current_stream(int device, int64_t id);  // returns the previous one
int64_t new_stream(int device);
void synchronize_device(int device);
void abandon_all_streams();  // at the end of the process, so that no kernel outlives it

extern std::atomic<uint64_t> synchronization_count;

}  // namespace sim
