// The streams' worker threads, and the registry of streams per device.
#include "stream.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <pybind11/pybind11.h>
#include <sys/prctl.h>

#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "../busy_log.h"
#include "config.h"
#include "kernel_timeline.h"
#include "poison.h"

namespace sim {

std::atomic<uint64_t> synchronization_count{0};

StreamQueue::StreamQueue(int device) : device_(device) {
  std::thread([this] { work_forever(); }).detach();
}

void StreamQueue::work_forever() {
  at::set_num_threads(1);
  prctl(PR_SET_TIMERSLACK, 1ul);  // a kernel that is stretched by a sleep ends when it should
  for (;;) do_one();
}

void StreamQueue::do_one() {
  std::function<void()> work;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty(); });
    work = std::move(queue_.front());
    queue_.pop_front();
  }
  std::string error;
  try {
    work();
  } catch (const std::exception& e) {
    error = e.what();
  }
  work = nullptr;  // frees the tensors it held before anyone is told that it is done
  {
    std::lock_guard lock(mutex_);
    if (error_.empty()) error_ = error;
    done_++;
  }
  changed_.notify_all();
}

void StreamQueue::wait_for_room(uint64_t most) {
  // Work that ends may free Python's tensors, for which it needs the lock that a caller may hold.
  std::optional<pybind11::gil_scoped_release> released;
  if (PyGILState_Check()) released.emplace();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, most] { return queue_.size() < most; });
}

void StreamQueue::push(std::function<void()> work) {
  if (const uint64_t most = queue_length()) wait_for_room(most);
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    pushed_++;
  }
  changed_.notify_all();
}

void StreamQueue::synchronize() {
  synchronization_count++;
  const RuntimeCall call("simStreamSynchronize");
  std::string error;
  {
    std::unique_lock lock(mutex_);
    const uint64_t target = pushed_;
    changed_.wait(lock, [&] { return done_ >= target; });
    std::swap(error, error_);
  }
  raise_if_poisoned(device_);
  TORCH_CHECK(error.empty(), "sim asynchronous error: ", error);
}

bool StreamQueue::idle() {
  std::lock_guard lock(mutex_);
  return done_ == pushed_;
}

void StreamQueue::abandon() {
  std::unique_lock lock(mutex_);
  done_ += queue_.size();
  queue_.clear();
  // A wait for another stream's event may never end now, hence the limit.
  changed_.wait_for(lock, std::chrono::seconds(1), [this] { return done_ == pushed_; });
}

namespace {

using DeviceStreams = std::vector<StreamQueue*>;

std::mutex registry_mutex;
thread_local int this_device = 0;
thread_local int64_t this_stream[BUSY_LOG_DEVICES] = {};

// Never destroyed: worker threads use the streams until the process ends.
std::vector<DeviceStreams>& registry() {
  static auto* const devices = [] {
    auto* all = new std::vector<DeviceStreams>(device_count());
    for (int device = 0; device < device_count(); device++)
      (*all)[device].push_back(new StreamQueue(device));
    return all;
  }();
  return *devices;
}

DeviceStreams streams_of(int device) {
  std::lock_guard lock(registry_mutex);
  return registry().at(device);
}

}  // namespace

int current_device() { return this_device; }

void set_current_device(int device) { this_device = device; }

StreamQueue& stream(int device, int64_t id) {
  std::lock_guard lock(registry_mutex);
  return *registry().at(device).at(id);
}

StreamQueue& current_stream(int device) { return stream(device, this_stream[device]); }

int64_t current_stream_id(int device) { return this_stream[device]; }

int64_t exchange_current_stream(int device, int64_t id) {
  return std::exchange(this_stream[device], id);
}

int64_t new_stream(int device) {
  std::lock_guard lock(registry_mutex);
  DeviceStreams& streams = registry().at(device);
  streams.push_back(new StreamQueue(device));
  return static_cast<int64_t>(streams.size()) - 1;
}

void synchronize_device(int device) {
  for (StreamQueue* each : streams_of(device)) each->synchronize();
}

void abandon_all_streams() {
  for (int device = 0; device < device_count(); device++)
    for (StreamQueue* each : streams_of(device)) each->abandon();
}

}  // namespace sim
