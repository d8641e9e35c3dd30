// What happens around a kernel's body: the busy log, its simulated duration, a failure on demand.
#include "launch.h"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <time.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "../busy_log.h"
#include "config.h"
#include "kernel_timeline.h"
#include "log_writer.h"
#include "poison.h"
#include "stream.h"

namespace sim {

std::atomic<uint64_t> launch_count{0};

namespace {

// Keeps the device busy until the simulated duration has passed, also when the body raises.
class SimulatedDuration {
 public:
  ~SimulatedDuration() {
    const uint64_t elapsed = busy_log_now_ns() - start_ns_;
    const uint64_t wanted = simulated_duration_ns(elapsed);
    if (wanted > elapsed) sleep_ns(wanted - elapsed);
  }

 private:
  static void sleep_ns(uint64_t ns) {
    const timespec duration{static_cast<time_t>(ns / 1000000000),
                            static_cast<long>(ns % 1000000000)};
    nanosleep(&duration, nullptr);
  }

  const uint64_t start_ns_ = busy_log_now_ns();
};

// Returns when it began and ended.
std::pair<uint64_t, uint64_t> run_kernel(int device, const std::function<void()>& body) {
  BusyEntry busy(device);
  {
    SimulatedDuration duration;
    c10::InferenceMode inference(false);
    at::NoGradGuard no_grad;
    body();
  }
  return busy.end();
}

}  // namespace

void launch(int device, std::function<void()> body, const std::string& name) {
  if (++launch_count == failing_kernel())
    body = [device] { poison(device, "device-side assert triggered (SIM_KERNEL_ERROR_AFTER)"); };
  const RuntimeCall call("simLaunchKernel");
  const uint32_t correlation = call.correlation();
  const int64_t stream = current_stream_id(device);
  current_stream(device).push([device, body = std::move(body), correlation, name, stream] {
    const auto [start_ns, end_ns] = run_kernel(device, body);
    record_kernel(correlation, name, device, stream, start_ns, end_ns);
  });
}

}  // namespace sim
