#include "nvml.h"

#include <dlfcn.h>
#include <pthread.h>

// The API, as far as it is used (https://docs.nvidia.com/deploy/nvml-api/): results
// are 0 or an error, devices are pointers.
static struct {
  int (*init)(void);
  int (*device)(const char *address, void **device);
  int (*energy)(void *device, unsigned long long *millijoules);
  int (*memory)(void *device, unsigned long long *total_free_used); // nvmlMemory_t
} nvml;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int usable;

static void load(void) {
  void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL); // stays loaded
  if (!library) return;
  *(void **)&nvml.init = dlsym(library, "nvmlInit_v2");
  *(void **)&nvml.device = dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2");
  *(void **)&nvml.energy = dlsym(library, "nvmlDeviceGetTotalEnergyConsumption");
  *(void **)&nvml.memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
  usable = nvml.init && nvml.device && nvml.energy && nvml.memory && nvml.init() == 0;
}

static int find(const char *address, void **device) {
  pthread_once(&once, load);
  return usable && nvml.device(address, device) == 0;
}

long long mr_nvml_used_bytes(const char *address) {
  void *device;
  unsigned long long memory[3]; // total, free, used
  if (!find(address, &device) || nvml.memory(device, memory)) return -1;
  return (long long)memory[2];
}

double mr_nvml_joules(const char *address) {
  void *device;
  unsigned long long millijoules;
  if (!find(address, &device) || nvml.energy(device, &millijoules)) return -1;
  return (double)millijoules / 1e3;
}
