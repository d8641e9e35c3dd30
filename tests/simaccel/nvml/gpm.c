// GPU Performance Monitoring (Hopper and later): metrics between two samples of counters.
#include <stdlib.h>

#include "busy_window.h"
#include "library.h"

struct nvmlGpmSample_st {
  int others;  // the sample is of a partitioned board, on which others keep all SMs busy
  uint64_t time_ns;
  uint64_t busy_ns;  // since the log was started
};

// What share of a busy device's time or throughput each metric stands for.
static const struct {
  unsigned int id;
  double share;
  const char* name;
} kMetrics[] = {
    {NVML_GPM_METRIC_GRAPHICS_UTIL, 1.0, "GRAPHICS_UTIL"},
    {NVML_GPM_METRIC_SM_UTIL, 0.8, "SM_UTIL"},
    {NVML_GPM_METRIC_SM_OCCUPANCY, 0.35, "SM_OCCUPANCY"},
    {NVML_GPM_METRIC_ANY_TENSOR_UTIL, 0.5, "ANY_TENSOR_UTIL"},
    {NVML_GPM_METRIC_DRAM_BW_UTIL, 0.4, "DRAM_BW_UTIL"},
};

static int is_supported(void) { return setting("NVMLSTUB_GPM", 1) != 0; }

EXPORT nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t* support) {
  ENTER_WITH_DEVICE(device);
  if (support->version != NVML_GPM_SUPPORT_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  support->isSupportedDevice = (unsigned int)is_supported();
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t* sample) {
  ENTER();
  *sample = calloc(1, sizeof **sample);
  return *sample ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

EXPORT nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
  ENTER();
  free(sample);
  return NVML_SUCCESS;
}

// The counters are refreshed ten times a second, hence samples must lie further apart than that.
static nvmlReturn_t take_sample(nvmlDevice_t device, nvmlGpmSample_t sample, int others) {
  if (!is_supported()) return NVML_ERROR_NOT_SUPPORTED;
  static BusyTotal counters[MAX_DEVICES];
  const uint64_t refresh = 100000000;
  sample->time_ns = now_ns() / refresh * refresh;
  sample->busy_ns = busy_since_start_ns(&counters[device->index], device->index, sample->time_ns);
  sample->others = others;
  return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
  ENTER_WITH_DEVICE(device);
  return take_sample(device, sample, is_shared_board(device));
}

EXPORT nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t board, unsigned int instance,
                                        nvmlGpmSample_t sample) {
  ENTER_WITH_DEVICE(board);
  if (!is_shared_board(board) || instance != MIG_INSTANCE) return NVML_ERROR_INVALID_ARGUMENT;
  return take_sample(board, sample, 0);
}

static nvmlReturn_t fill_metric(nvmlGpmMetric_t* metric, double busy) {
  for (size_t i = 0; i < sizeof kMetrics / sizeof *kMetrics; i++) {
    if (kMetrics[i].id != metric->metricId) continue;
    metric->value = 100 * busy * kMetrics[i].share;
    metric->metricInfo.shortName = metric->metricInfo.longName = (char*)kMetrics[i].name;
    metric->metricInfo.unit = (char*)"%";
    return NVML_SUCCESS;
  }
  return NVML_ERROR_NOT_SUPPORTED;
}

EXPORT nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t* request) {
  ENTER();
  if (request->version != NVML_GPM_METRICS_GET_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  const nvmlGpmSample_t first = request->sample1, second = request->sample2;
  const int apart = second->time_ns > first->time_ns;
  const double busy = first->others ? 1 : apart ? (double)(second->busy_ns - first->busy_ns) /
                                  (double)(second->time_ns - first->time_ns)
                            : 0;
  for (unsigned int i = 0; i < request->numMetrics; i++) {
    nvmlGpmMetric_t* metric = &request->metrics[i];
    metric->nvmlReturn = fill_metric(metric, busy);
    if (metric->nvmlReturn == NVML_SUCCESS && !apart) metric->nvmlReturn = NVML_ERROR_NO_DATA;
  }
  return NVML_SUCCESS;
}
