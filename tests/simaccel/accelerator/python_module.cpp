// What Python may ask the accelerator beyond PyTorch's own interface (torch.sim, ../__init__.py).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "config.h"
#include "launch.h"
#include "stream.h"

namespace py = pybind11;

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("device_count", &sim::device_count);
  module.def("memory_limit_bytes", &sim::memory_limit_bytes);
  module.def("current_device", &sim::current_device);
  module.def("set_device", &sim::set_current_device);
  module.def("set_min_kernel_us", &sim::set_min_kernel_us);
  module.def("set_slow", &sim::set_slowdown);
  module.def("counters", [] {
    return std::make_pair(sim::launch_count.load(), sim::synchronization_count.load());
  });
  // Kernels take no Python object with them, so the lock may be dropped while they finish.
  module.def("abandon_all_streams", &sim::abandon_all_streams,
             py::call_guard<py::gil_scoped_release>());
}
