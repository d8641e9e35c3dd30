// The board's power model.
#ifndef SIMACCEL_NVML_BOARD_H_
#define SIMACCEL_NVML_BOARD_H_

// Milliwatts drawn by a device that is busy for this share (0..1) of the time.
unsigned int power_mw(double busy);

#endif  // SIMACCEL_NVML_BOARD_H_
