#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

// The driver's API, as far as it is used (https://docs.nvidia.com/cuda/cuda-driver-api/):
// results are 0 or an error, devices are numbers, contexts are pointers.
static struct {
  int (*cuInit)(unsigned flags);
  int (*cuDriverGetVersion)(int *version);
  int (*cuDeviceGetCount)(int *count);
  int (*cuDeviceGet)(int *device, int ordinal);
  int (*cuDeviceGetName)(char *name, int room, int device);
  int (*cuDeviceTotalMem_v2)(size_t *bytes, int device);
  int (*cuDevicePrimaryCtxRetain)(void **context, int device);
  int (*cuDevicePrimaryCtxRelease_v2)(int device);
  int (*cuCtxPushCurrent_v2)(void *context);
  int (*cuCtxPopCurrent_v2)(void **context);
  int (*cuMemHostAlloc)(void **memory, size_t bytes, unsigned flags);
  int (*cuMemFreeHost)(void *memory);
  int (*cuMemAlloc_v2)(uint64_t *memory, size_t bytes);
  int (*cuMemFree_v2)(uint64_t memory);
  int (*cuMemcpyHtoDAsync_v2)(uint64_t to, const void *from, size_t bytes, void *stream);
  int (*cuMemcpyDtoHAsync_v2)(void *to, uint64_t from, size_t bytes, void *stream);
  int (*cuStreamCreate)(void **stream, unsigned flags);
  int (*cuStreamSynchronize)(void *stream);
  int (*cuStreamDestroy_v2)(void *stream);
  int (*cuGetErrorString)(int result, const char **text);
} driver;

static const struct {
  const char *name;
  void *at;
} symbols[] = {
#define SYMBOL(name) {#name, &driver.name}
    SYMBOL(cuInit),
    SYMBOL(cuDriverGetVersion),
    SYMBOL(cuDeviceGetCount),
    SYMBOL(cuDeviceGet),
    SYMBOL(cuDeviceGetName),
    SYMBOL(cuDeviceTotalMem_v2),
    SYMBOL(cuDevicePrimaryCtxRetain),
    SYMBOL(cuDevicePrimaryCtxRelease_v2),
    SYMBOL(cuCtxPushCurrent_v2),
    SYMBOL(cuCtxPopCurrent_v2),
    SYMBOL(cuMemHostAlloc),
    SYMBOL(cuMemFreeHost),
    SYMBOL(cuMemAlloc_v2),
    SYMBOL(cuMemFree_v2),
    SYMBOL(cuMemcpyHtoDAsync_v2),
    SYMBOL(cuMemcpyDtoHAsync_v2),
    SYMBOL(cuStreamCreate),
    SYMBOL(cuStreamSynchronize),
    SYMBOL(cuStreamDestroy_v2),
    SYMBOL(cuGetErrorString),
#undef SYMBOL
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static mr_error unusable; // why the driver is not there, if so

static void say(mr_error *error, const char *what, int result) {
  const char *text = NULL;
  if (driver.cuGetErrorString) driver.cuGetErrorString(result, &text);
  snprintf(error->text, sizeof error->text, "%s: %s (CUDA error %d)", what, text ? text : "unknown error", result);
}

static void load(void) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); // stays loaded
  if (!library) {
    snprintf(unusable.text, sizeof unusable.text, "%s", dlerror());
    return;
  }
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *symbol = dlsym(library, symbols[i].name);
    if (!symbol) {
      snprintf(unusable.text, sizeof unusable.text, "libcuda.so.1 is too old: it has no %s", symbols[i].name);
      return;
    }
    memcpy(symbols[i].at, &symbol, sizeof symbol);
  }
  int result = driver.cuInit(0);
  if (result) say(&unusable, "cuInit", result);
}

static int there(mr_error *error) {
  pthread_once(&once, load);
  *error = unusable;
  return !unusable.text[0];
}

// CALL returns what the caller gives for a failure, and says which call failed.
#define CALL(failed, function, ...)          \
  do {                                       \
    int result_ = driver.function(__VA_ARGS__); \
    if (result_) {                           \
      say(error, #function, result_);        \
      return failed;                         \
    }                                        \
  } while (0)

int mr_driver_finds(const char *name) {
  void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  if (library) dlclose(library);
  return library != NULL;
}

int mr_driver_devices(mr_error *error) {
  int n;
  if (!there(error)) return -1;
  CALL(-1, cuDeviceGetCount, &n);
  return n;
}

int mr_driver_version(mr_error *error) {
  int version;
  if (!there(error)) return 0;
  CALL(0, cuDriverGetVersion, &version);
  return version;
}

int mr_driver_device_name(int ordinal, char *name, int room, mr_error *error) {
  int device;
  if (!there(error)) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDeviceGetName, name, room, device);
  return 1;
}

size_t mr_driver_device_memory(int ordinal, mr_error *error) {
  int device;
  size_t bytes;
  if (!there(error)) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDeviceTotalMem_v2, &bytes, device);
  return bytes;
}

// The primary context is ONNX Runtime's too. Each piece of memory retains it, so
// that it is there until the last is freed.
static int enter(int ordinal, int *device, mr_error *error) {
  void *context;
  CALL(0, cuDeviceGet, device, ordinal);
  CALL(0, cuDevicePrimaryCtxRetain, &context, *device);
  CALL(0, cuCtxPushCurrent_v2, context);
  return 1;
}

static void leave(void) {
  void *context;
  driver.cuCtxPopCurrent_v2(&context);
}

enum { PORTABLE = 1 };

void *mr_driver_host_alloc(int ordinal, size_t bytes, mr_error *error) {
  int device;
  void *memory = NULL;
  if (!there(error) || !enter(ordinal, &device, error)) return NULL;
  int result = driver.cuMemHostAlloc(&memory, bytes, PORTABLE);
  leave();
  if (result) {
    say(error, "cuMemHostAlloc", result);
    driver.cuDevicePrimaryCtxRelease_v2(device);
    return NULL;
  }
  return memory;
}

void mr_driver_host_free(int ordinal, void *memory) {
  int device;
  mr_error ignored;
  if (!enter(ordinal, &device, &ignored)) return;
  driver.cuMemFreeHost(memory);
  leave();
  driver.cuDevicePrimaryCtxRelease_v2(device); // of enter
  driver.cuDevicePrimaryCtxRelease_v2(device); // of the allocation
}

uint64_t mr_driver_device_alloc(int ordinal, size_t bytes, mr_error *error) {
  int device;
  uint64_t memory = 0;
  if (!there(error) || !enter(ordinal, &device, error)) return 0;
  int result = driver.cuMemAlloc_v2(&memory, bytes);
  leave();
  if (result) {
    say(error, "cuMemAlloc", result);
    driver.cuDevicePrimaryCtxRelease_v2(device);
    return 0;
  }
  return memory;
}

void mr_driver_device_free(int ordinal, uint64_t memory) {
  int device;
  mr_error ignored;
  if (!enter(ordinal, &device, &ignored)) return;
  driver.cuMemFree_v2(memory);
  leave();
  driver.cuDevicePrimaryCtxRelease_v2(device); // of enter
  driver.cuDevicePrimaryCtxRelease_v2(device); // of the allocation
}

enum { NON_BLOCKING = 1 };

// copy_on copies in the current context, on a stream that it makes when *stream is
// not there yet.
static int copy_on(void **stream, uint64_t memory, void *host, size_t bytes, int to_device, mr_error *error) {
  if (!*stream) CALL(0, cuStreamCreate, stream, NON_BLOCKING);
  if (to_device)
    CALL(0, cuMemcpyHtoDAsync_v2, memory, host, bytes, *stream);
  else
    CALL(0, cuMemcpyDtoHAsync_v2, host, memory, bytes, *stream);
  CALL(0, cuStreamSynchronize, *stream);
  return 1;
}

int mr_driver_copy(int ordinal, uint64_t memory, void *host, size_t bytes, int to_device, mr_error *error) {
  int device;
  if (!there(error) || !enter(ordinal, &device, error)) return 0;
  void *stream = NULL;
  int done = copy_on(&stream, memory, host, bytes, to_device, error);
  if (stream) driver.cuStreamDestroy_v2(stream);
  leave();
  driver.cuDevicePrimaryCtxRelease_v2(device);
  return done;
}
