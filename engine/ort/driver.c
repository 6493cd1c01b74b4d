#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
  pthread_once_t once;
  mr_driver_functions library; // of libcuda.so.1
  mr_error unusable;           // why these are not there, if so
  const mr_driver_functions *stand_in;
} nvidia = {.once = PTHREAD_ONCE_INIT};

void mr_driver_says(const mr_driver_functions *driver, mr_error *error, const char *what, mr_cu_result result,
                    const char *detail) {
  const char *name = NULL, *text = NULL;
  driver->cuGetErrorName(result, &name);
  driver->cuGetErrorString(result, &text);
  snprintf(error->text, sizeof error->text, "%s: %s: %s (CUDA error %d)%s%s", what, name ? name : "an unknown error",
           text ? text : "no description", result, *detail ? ": " : "", detail);
}

static void load(void) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); // stays loaded
  if (!library) {
    snprintf(nvidia.unusable.text, sizeof nvidia.unusable.text, "%s", dlerror());
    return;
  }
#define TAKE(name, symbol, arguments)                                                                                 \
  if (!(*(void **)&nvidia.library.name = dlsym(library, symbol))) {                                                   \
    snprintf(nvidia.unusable.text, sizeof nvidia.unusable.text, "libcuda.so.1 is too old: it has no %s", symbol);     \
    return;                                                                                                           \
  }
  MR_DRIVER_FUNCTIONS(TAKE)
#undef TAKE
  mr_cu_result result = nvidia.library.cuInit(0);
  if (result) mr_driver_says(&nvidia.library, &nvidia.unusable, "cuInit", result, "");
}

void mr_driver_stand_in(const mr_driver_functions *functions) {
  __atomic_store_n(&nvidia.stand_in, functions, __ATOMIC_RELAXED);
}

const mr_driver_functions *mr_driver(mr_error *error) {
  const mr_driver_functions *stand_in = __atomic_load_n(&nvidia.stand_in, __ATOMIC_RELAXED);
  error->text[0] = 0;
  if (stand_in) return stand_in;
  pthread_once(&nvidia.once, load);
  *error = nvidia.unusable;
  return error->text[0] ? NULL : &nvidia.library;
}

// Returns what the caller gives for a failure, and says which call failed.
#define CALL(failed, function, ...)                               \
  do {                                                            \
    mr_cu_result result_ = driver->function(__VA_ARGS__);         \
    if (result_) {                                                \
      mr_driver_says(driver, error, #function, result_, "");      \
      return failed;                                              \
    }                                                             \
  } while (0)

int mr_driver_finds(const char *name) {
  void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  if (library) dlclose(library);
  return library != NULL;
}

int mr_tensorrt_version(const char *name) {
  void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL); // stays loaded: it is large, and the provider's next
  int (*version)(void) = NULL;
  if (library) *(void **)&version = dlsym(library, "getInferLibVersion");
  return version ? version() : 0;
}

int mr_driver_devices(mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  int n;
  if (!driver) return -1;
  CALL(-1, cuDeviceGetCount, &n);
  return n;
}

int mr_driver_version(mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  int version;
  if (!driver) return 0;
  CALL(0, cuDriverGetVersion, &version);
  return version;
}

int mr_driver_device_name(int ordinal, char *name, int room, mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  mr_cu_device device;
  if (!driver) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDeviceGetName, name, room, device);
  return 1;
}

int mr_driver_device_address(int ordinal, char *address, int room, mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  mr_cu_device device;
  if (!driver) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDeviceGetPCIBusId, address, room, device);
  return 1;
}

int mr_driver_sleep_while_waiting(int ordinal, mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  mr_cu_device device;
  if (!driver) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDevicePrimaryCtxSetFlags, device, MR_CU_BLOCKING_SYNC);
  return 1;
}

size_t mr_driver_device_memory(int ordinal, mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  mr_cu_device device;
  size_t bytes;
  if (!driver) return 0;
  CALL(0, cuDeviceGet, &device, ordinal);
  CALL(0, cuDeviceTotalMem, &bytes, device);
  return bytes;
}

// A device whose context is current. The context is the primary one, which is
// ONNX Runtime's too. Each piece of memory retains it, so that it is there until
// the last is freed.
typedef struct {
  const mr_driver_functions *driver;
  mr_cu_device device;
} place;

// 0, and nothing to leave, when it failed.
static int enter(int ordinal, place *p, mr_error *error) {
  const mr_driver_functions *driver = mr_driver(error);
  mr_cu_context context;
  if (!driver) return 0;
  p->driver = driver;
  CALL(0, cuDeviceGet, &p->device, ordinal);
  CALL(0, cuDevicePrimaryCtxRetain, &context, p->device);
  mr_cu_result result = driver->cuCtxPushCurrent(context);
  if (!result) return 1;
  mr_driver_says(driver, error, "cuCtxPushCurrent", result, "");
  driver->cuDevicePrimaryCtxRelease(p->device);
  return 0;
}

// keeps: leaves the context retained, for memory that was taken.
static void leave(const place *p, int keeps) {
  mr_cu_context context;
  p->driver->cuCtxPopCurrent(&context);
  if (!keeps) p->driver->cuDevicePrimaryCtxRelease(p->device);
}

static void leave_freed(const place *p) {
  leave(p, 0);
  p->driver->cuDevicePrimaryCtxRelease(p->device); // of the allocation
}

void *mr_driver_host_alloc(int ordinal, size_t bytes, mr_error *error) {
  place p;
  void *memory = NULL;
  if (!enter(ordinal, &p, error)) return NULL;
  mr_cu_result result = p.driver->cuMemHostAlloc(&memory, bytes, MR_CU_HOST_PORTABLE);
  if (result) mr_driver_says(p.driver, error, "cuMemHostAlloc", result, "");
  leave(&p, !result);
  return result ? NULL : memory;
}

void mr_driver_host_free(int ordinal, void *memory) {
  place p;
  mr_error ignored;
  if (!enter(ordinal, &p, &ignored)) return;
  p.driver->cuMemFreeHost(memory);
  leave_freed(&p);
}

uint64_t mr_driver_device_alloc(int ordinal, size_t bytes, mr_error *error) {
  place p;
  mr_cu_pointer memory = 0;
  if (!enter(ordinal, &p, error)) return 0;
  mr_cu_result result = p.driver->cuMemAlloc(&memory, bytes);
  if (result) mr_driver_says(p.driver, error, "cuMemAlloc", result, "");
  leave(&p, !result);
  return result ? 0 : memory;
}

void mr_driver_device_free(int ordinal, uint64_t memory) {
  place p;
  mr_error ignored;
  if (!enter(ordinal, &p, &ignored)) return;
  p.driver->cuMemFree(memory);
  leave_freed(&p);
}

// Copies in the current context, on a stream that it makes.
static int copy_on(const mr_driver_functions *driver, void **stream, uint64_t memory, void *host, size_t bytes,
                   int to_device, mr_error *error) {
  CALL(0, cuStreamCreate, stream, MR_CU_STREAM_NON_BLOCKING);
  if (to_device)
    CALL(0, cuMemcpyHtoDAsync, memory, host, bytes, *stream);
  else
    CALL(0, cuMemcpyDtoHAsync, host, memory, bytes, *stream);
  CALL(0, cuStreamSynchronize, *stream);
  return 1;
}

int mr_driver_copy(int ordinal, uint64_t memory, void *host, size_t bytes, int to_device, mr_error *error) {
  place p;
  void *stream = NULL;
  if (!enter(ordinal, &p, error)) return 0;
  int done = copy_on(p.driver, &stream, memory, host, bytes, to_device, error);
  if (stream) p.driver->cuStreamDestroy(stream);
  leave(&p, 0);
  return done;
}
