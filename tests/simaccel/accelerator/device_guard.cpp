// Tells PyTorch of devices, streams and events: the interface behind torch.accelerator,
// torch.Stream, torch.Event and every device guard.
#if __has_include(<c10/core/DeviceCapability.h>)
#define SIM_HAS_CAPABILITY 1  // torch 2.10 and later
#include <c10/core/DeviceCapability.h>
#endif
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include "config.h"
#include "event.h"
#include "stream.h"

namespace sim {
namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::Stream;

constexpr auto kDevice = c10::DeviceType::PrivateUse1;

Device device_at(int index) { return {kDevice, static_cast<DeviceIndex>(index)}; }

Stream stream_handle(int device, int64_t id) {
  return Stream(Stream::UNSAFE, device_at(device), id);
}

int index_of(Device device) { return device.index() < 0 ? current_device() : device.index(); }

StreamQueue& queue_of(const Stream& handle) { return stream(handle.device_index(), handle.id()); }

// PyTorch keeps an event as a void pointer; behind it lies a shared pointer, because a queued mark
// must outlive an event that the program dropped.
using EventHandle = std::shared_ptr<Event>;

Event& event_of(void* handle) { return **static_cast<EventHandle*>(handle); }

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDevice; }

  // Devices
  Device exchangeDevice(Device device) const override {
    const Device previous = getDevice();
    set_current_device(device.index());
    return previous;
  }
  Device getDevice() const override { return device_at(current_device()); }
  void setDevice(Device device) const override { set_current_device(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override {
    set_current_device(device.index());
  }
  DeviceIndex deviceCount() const noexcept override { return device_count(); }
#ifdef SIM_HAS_CAPABILITY
  c10::DeviceCapability getDeviceCapability(Device) const override { return {}; }
#endif
  void synchronizeDevice(const DeviceIndex device) const override { synchronize_device(device); }

  // Streams
  Stream getStream(Device device) const override {
    return stream_handle(index_of(device), current_stream_id(index_of(device)));
  }
  Stream getDefaultStream(Device device) const override {
    return stream_handle(index_of(device), 0);
  }
  Stream getNewStream(Device device, int) const override {
    return stream_handle(index_of(device), new_stream(index_of(device)));
  }
  Stream getStreamFromGlobalPool(Device device, bool) const override {
    return getNewStream(device, 0);
  }
  Stream exchangeStream(Stream stream) const override {
    const int device = stream.device_index();
    return stream_handle(device, exchange_current_stream(device, stream.id()));
  }
  bool queryStream(const Stream& stream) const override { return queue_of(stream).idle(); }
  void synchronizeStream(const Stream& stream) const override { queue_of(stream).synchronize(); }

  // Events. A handle is null until the first recording.
  void record(void** handle, const Stream& stream, const DeviceIndex,
              const c10::EventFlag flag) const override {
    if (!*handle) {
      const bool timing = flag == c10::EventFlag::BACKEND_DEFAULT;
      *handle = new EventHandle(std::make_shared<Event>(stream.device_index(), timing));
    }
    event_of(*handle).record(queue_of(stream));
  }
  void block(void* handle, const Stream& stream) const override {
    if (handle) event_of(handle).block(queue_of(stream));
  }
  bool queryEvent(void* handle) const override { return !handle || event_of(handle).reached(); }
  void synchronizeEvent(void* handle) const override {
    if (handle) event_of(handle).synchronize();
  }
  double elapsedTime(void* start, void* end, const DeviceIndex) const override {
    TORCH_CHECK(start && end, "Both events must be recorded before calculating elapsed time.");
    return event_of(start).milliseconds_until(event_of(end));
  }
  void destroyEvent(void* handle, const DeviceIndex) const noexcept override {
    delete static_cast<EventHandle*>(handle);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace
}  // namespace sim
