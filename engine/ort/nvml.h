// NVIDIA's management library, loaded when it is first asked for: what devices use
// of power and memory. Devices are named by their PCI address, since it counts
// those too that the process is not shown.
#ifndef MILLRACE_ORT_NVML_H
#define MILLRACE_ORT_NVML_H

// Bytes of memory in use, by whatever process; below 0 where it does not say.
long long mr_nvml_used_bytes(const char *address);
// Joules since the driver was loaded; below 0 where it does not say.
double mr_nvml_joules(const char *address);

#endif
