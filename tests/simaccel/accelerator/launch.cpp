// What happens around a kernel's body: the busy log, its simulated duration, a failure on demand.
#include "launch.h"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <time.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "../busy_log.h"
#include "config.h"
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

void run_kernel(int device, const std::function<void()>& body) {
  BusyEntry busy(device);
  SimulatedDuration duration;
  c10::InferenceMode inference(false);
  at::NoGradGuard no_grad;
  body();
}

}  // namespace

void launch(int device, std::function<void()> body) {
  if (++launch_count == failing_kernel())
    body = [device] { poison(device, "device-side assert triggered (SIM_KERNEL_ERROR_AFTER)"); };
  current_stream(device).push([device, body = std::move(body)] { run_kernel(device, body); });
}

}  // namespace sim
