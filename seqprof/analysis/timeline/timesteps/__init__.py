"""The loop over timesteps in a stream of kernels or operators that nobody marked."""
