// NVIDIA's management library, loaded when it is first asked for: what devices use
// of power and memory. Devices are named by their PCI address, since it counts
// those too that the process is not shown.
#ifndef MILLRACE_ORT_NVML_H
#define MILLRACE_ORT_NVML_H

#include <stdint.h>

// Joules since the driver was loaded; below 0 where it does not say.
double mr_nvml_joules(const char *address);
// Bytes of the device's memory that anybody uses; below 0 where it does not say.
int64_t mr_nvml_used(const char *address);

#endif
