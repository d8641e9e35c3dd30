// A profiler of Kineto's for the device, as a vendor would register one, where torch has the interface (2.13 has).
#include "kernel_timeline.h"

#if __has_include(<torch/csrc/profiler/standalone/privateuse1_profiler.h>)
#define USE_KINETO
#define FMT_HEADER_ONLY
#include <libkineto.h>
#include <torch/csrc/profiler/standalone/privateuse1_profiler.h>
#endif

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "../busy_log.h"
#include "config.h"

namespace sim {
namespace {

struct Call {
  const char* name;
  uint32_t correlation;
  int32_t thread;
  uint64_t start_ns, end_ns;
};

struct Kernel {
  std::string name;
  uint32_t correlation;
  int device;
  int64_t stream;
  uint64_t start_ns, end_ns;
};

std::atomic<bool> recording{false};
std::atomic<bool> left_behind{false};  // as CUPTI is, unless Kineto is told to take it out
std::atomic<uint32_t> last_correlation{0};
std::mutex records_mutex;
std::vector<Call> calls;
std::vector<Kernel> kernels;

// Work of the host; a sleep would end too late.
void spin_ns(uint64_t ns) {
  const uint64_t end = busy_log_now_ns() + ns;
  while (busy_log_now_ns() < end) {
  }
}

}  // namespace

RuntimeCall::RuntimeCall(const char* name) : name_(name) {
  if (!recording) return;
  correlation_ = ++last_correlation;
  start_ns_ = busy_log_now_ns();
}

RuntimeCall::~RuntimeCall() {
  if (recording || left_behind) spin_ns(profiler_ns());
  if (!correlation_) return;
  const auto thread = static_cast<int32_t>(syscall(SYS_gettid));
  std::lock_guard lock(records_mutex);
  calls.push_back({name_, correlation_, thread, start_ns_, busy_log_now_ns()});
}

void record_kernel(uint32_t correlation, const std::string& name, int device, int64_t stream,
                   uint64_t start_ns, uint64_t end_ns) {
  if (!correlation) return;
  std::lock_guard lock(records_mutex);
  kernels.push_back({name, correlation, device, stream, start_ns, end_ns});
}

#ifdef USE_KINETO
namespace {

using libkineto::ActivityType;

// Kineto's clock is that of the epoch, the log's is monotonic.
int64_t epoch_less_monotonic_ns() {
  timespec epoch;
  clock_gettime(CLOCK_REALTIME, &epoch);
  return epoch.tv_sec * 1000000000ll + epoch.tv_nsec - static_cast<int64_t>(busy_log_now_ns());
}

class Session final : public libkineto::IActivityProfilerSession {
 public:
  void start() override {
    std::lock_guard lock(records_mutex);
    calls.clear();
    kernels.clear();
    recording = true;
  }

  void stop() override {
    recording = false;
    const char* let_go = std::getenv("TEARDOWN_CUPTI");
    left_behind = let_go == nullptr || std::strcmp(let_go, "1") != 0;
    shift_ns_ = epoch_less_monotonic_ns();
  }

  std::vector<std::string> errors() override { return {}; }

  void processTrace(libkineto::ActivityLogger& logger) override {
    std::lock_guard lock(records_mutex);
    buffer_->span = libkineto::TraceSpan(0, 0, "sim");
    for (const Call& call : calls) {
      auto& activity = add(ActivityType::PRIVATEUSE1_RUNTIME, call.name, call.correlation,
                           call.start_ns, call.end_ns);
      activity.device = getpid();
      activity.resource = activity.threadId = call.thread;
      activity.addMetadata("correlation", call.correlation);
    }
    for (const Kernel& kernel : kernels) {
      auto& activity = add(ActivityType::CONCURRENT_KERNEL, kernel.name, kernel.correlation,
                           kernel.start_ns, kernel.end_ns);
      activity.device = kernel.device;
      activity.resource = static_cast<int32_t>(kernel.stream);
      activity.addMetadata("device", kernel.device);
      activity.addMetadata("stream", kernel.stream);
      activity.addMetadata("correlation", kernel.correlation);
    }
    for (const auto& activity : buffer_->activities) activity->log(logger);
  }

  std::unique_ptr<libkineto::DeviceInfo> getDeviceInfo() override { return nullptr; }
  std::vector<libkineto::ResourceInfo> getResourceInfos() override { return {}; }
  std::unique_ptr<libkineto::CpuTraceBuffer> getTraceBuffer() override {
    return std::move(buffer_);
  }

 private:
  libkineto::GenericTraceActivity& add(ActivityType type, const std::string& name, uint32_t id,
                                       uint64_t start_ns, uint64_t end_ns) {
    buffer_->emplace_activity(buffer_->span, type, name);
    libkineto::GenericTraceActivity& activity = *buffer_->activities.back();
    activity.id = static_cast<int32_t>(id);
    activity.startTime = static_cast<int64_t>(start_ns) + shift_ns_;
    activity.endTime = static_cast<int64_t>(end_ns) + shift_ns_;
    return activity;
  }

  int64_t shift_ns_ = 0;
  std::unique_ptr<libkineto::CpuTraceBuffer> buffer_ =
      std::make_unique<libkineto::CpuTraceBuffer>();
};

class Profiler final : public libkineto::IActivityProfiler {
 public:
  const std::string& name() const override { return name_; }

  const std::set<ActivityType>& availableActivities() const override { return types_; }

  std::unique_ptr<libkineto::IActivityProfilerSession> configure(
      const std::set<ActivityType>& wanted, const libkineto::Config&) override {
    if (!wanted.count(ActivityType::CONCURRENT_KERNEL)) return nullptr;
    return std::make_unique<Session>();
  }

  std::unique_ptr<libkineto::IActivityProfilerSession> configure(
      int64_t, int64_t, const std::set<ActivityType>& wanted,
      const libkineto::Config& config) override {
    return configure(wanted, config);
  }

 private:
  const std::string name_ = "sim";
  const std::set<ActivityType> types_ = {ActivityType::CONCURRENT_KERNEL,
                                         ActivityType::PRIVATEUSE1_RUNTIME};
};

REGISTER_PRIVATEUSE1_PROFILER(Profiler);

}  // namespace
#endif  // USE_KINETO

}  // namespace sim
