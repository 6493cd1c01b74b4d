#include "cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES = 4096 };

static struct {
  pthread_mutex_t mu;
  mr_cuda_driver library; // the functions of libcuda.so.1, once opened
  const mr_cuda_driver *driver; // NULL until then
  int stand_in; // the device of mr_cuda_stand_in and 1; 0: none
  mr_cuda_device devices[MR_CUDA_MOST_DEVICES]; // no context: not opened yet
} cuda = {.mu = PTHREAD_MUTEX_INITIALIZER};

void mr_cuda_stand_in(const void *driver, int device) {
  pthread_mutex_lock(&cuda.mu);
  if (cuda.driver != driver) memset(cuda.devices, 0, sizeof cuda.devices);
  cuda.driver = driver;
  __atomic_store_n(&cuda.stand_in, device + 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&cuda.mu);
}

int mr_cuda_stand_in_device(void) { return __atomic_load_n(&cuda.stand_in, __ATOMIC_RELAXED) - 1; }

// A status of what the driver says of a failed call; detail may be empty.
static OrtStatus *failed(const OrtApi *api, const mr_cuda_driver *driver, OrtErrorCode code, const char *what,
                         mr_cu_result result, const char *detail) {
  const char *name = NULL, *text = NULL;
  char message[LOG_BYTES + 512];
  driver->cuGetErrorName(result, &name);
  driver->cuGetErrorString(result, &text);
  snprintf(message, sizeof message, "CUDA: %s: %s: %s (%d)%s%s", what, name ? name : "an unknown error",
           text ? text : "no description", result, *detail ? ": " : "", detail);
  return api->CreateStatus(code, message);
}

#define CUDA_TRY(code, what, call)                                                        \
  do {                                                                                    \
    mr_cu_result result_ = (call);                                                        \
    if (result_) return failed(api, driver, code, what, result_, "");                     \
  } while (0)

static OrtStatus *no_library(const OrtApi *api, const char *why) {
  char message[1024];
  snprintf(message, sizeof message, "CUDA: %s; install NVIDIA's driver for this machine, of release 580 or newer", why);
  return api->CreateStatus(ORT_EP_FAIL, message);
}

static OrtStatus *open_library(const OrtApi *api) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return no_library(api, dlerror());
#define TAKE(name, symbol, arguments)                                                     \
  if (!(*(void **)&cuda.library.name = dlsym(library, symbol)))                           \
    return dlclose(library), no_library(api, "libcuda.so.1 has no " symbol);
  MR_CUDA_FUNCTIONS(TAKE)
#undef TAKE
  const mr_cuda_driver *driver = &cuda.library;
  mr_cu_result result = driver->cuInit(0);
  if (result) {
    OrtStatus *status = failed(api, driver, ORT_EP_FAIL, "cuInit", result, "");
    dlclose(library);
    return status;
  }
  cuda.driver = driver; // and the library stays until the process ends
  return NULL;
}

// For a device that is newer than the kernels, loading compiles them; the
// compiler's words are the status's.
static OrtStatus *load_module(const OrtApi *api, mr_cuda_device *d) {
  char log[LOG_BYTES] = "";
  int options[] = {MR_CU_JIT_ERROR_LOG, MR_CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  mr_cu_result result = d->driver->cuModuleLoadDataEx(&d->module, mr_cuda_fatbin, 2, options, values);
  log[sizeof log - 1] = 0;
  return result ? failed(api, d->driver, ORT_EP_FAIL, "the kernels cannot be loaded", result, log) : NULL;
}

static OrtStatus *find_kernels(const OrtApi *api, mr_cuda_device *d) {
  const mr_cuda_driver *driver = d->driver;
#define NAME(name, carveout) #name,
#define CARVEOUT(name, carveout) carveout,
  static const char *const names[] = {MR_CUDA_KERNELS(NAME)};
  static const int carveout[] = {MR_CUDA_KERNELS(CARVEOUT)};
  for (int i = 0; i < MR_CUDA_KERNEL_COUNT; i++) {
    CUDA_TRY(ORT_EP_FAIL, names[i], driver->cuModuleGetFunction(&d->kernel[i], d->module, names[i]));
    if (!carveout[i]) continue;
    CUDA_TRY(ORT_EP_FAIL, names[i], driver->cuFuncSetAttribute(d->kernel[i], MR_CU_FUNCTION_SHARED, (int)d->shared_block));
    CUDA_TRY(ORT_EP_FAIL, names[i], driver->cuFuncSetAttribute(d->kernel[i], MR_CU_FUNCTION_CARVEOUT, carveout[i]));
  }
  return NULL;
}

static OrtStatus *attribute(const OrtApi *api, const mr_cuda_device *d, mr_cu_device device, int which, int *out) {
  const mr_cuda_driver *driver = d->driver;
  CUDA_TRY(ORT_EP_FAIL, "cuDeviceGetAttribute", driver->cuDeviceGetAttribute(out, which, device));
  return NULL;
}

// Fills what the context must be current for.
static OrtStatus *fill(const OrtApi *api, mr_cuda_device *d, mr_cu_device device) {
  int per_processor, per_block;
  TRY(attribute(api, d, device, MR_CU_PROCESSORS, &d->processors));
  TRY(attribute(api, d, device, MR_CU_SHARED_PROCESSOR, &per_processor));
  TRY(attribute(api, d, device, MR_CU_SHARED_BLOCK, &per_block));
  d->shared_processor = (size_t)per_processor;
  d->shared_block = (size_t)per_block;
  TRY(load_module(api, d));
  return find_kernels(api, d);
}

static OrtStatus *enter(const OrtApi *api, const mr_cuda_device *d) {
  const mr_cuda_driver *driver = d->driver;
  CUDA_TRY(ORT_EP_FAIL, "cuCtxPushCurrent", driver->cuCtxPushCurrent(d->context));
  return NULL;
}

static void leave(const mr_cuda_device *d) {
  mr_cu_context was;
  d->driver->cuCtxPopCurrent(&was);
}

// The CUDA runtime, and so ONNX Runtime's provider, computes in a device's
// primary context, which need not be current on the thread that makes a session.
static OrtStatus *open_device(const OrtApi *api, int ordinal, mr_cuda_device *out) {
  const mr_cuda_driver *driver = cuda.driver;
  mr_cuda_device d = {.driver = driver};
  mr_cu_device device;
  char what[64];
  snprintf(what, sizeof what, "device %d", ordinal);
  CUDA_TRY(ORT_EP_FAIL, what, driver->cuDeviceGet(&device, ordinal));
  CUDA_TRY(ORT_EP_FAIL, what, driver->cuDevicePrimaryCtxRetain(&d.context, device));
  OrtStatus *status = enter(api, &d);
  if (!status) {
    status = fill(api, &d, device);
    if (status && d.module) driver->cuModuleUnload(d.module);
    leave(&d);
  }
  if (status)
    driver->cuDevicePrimaryCtxRelease(device);
  else
    *out = d;
  return status;
}

OrtStatus *mr_cuda_open(const OrtApi *api, int ordinal, const mr_cuda_device **out) {
  if (ordinal < 0 || ordinal >= MR_CUDA_MOST_DEVICES) return api->CreateStatus(ORT_INVALID_ARGUMENT, "CUDA: no such device");
  pthread_mutex_lock(&cuda.mu);
  mr_cuda_device *d = &cuda.devices[ordinal];
  OrtStatus *status = cuda.driver ? NULL : open_library(api);
  if (!status && !d->context) status = open_device(api, ordinal, d);
  pthread_mutex_unlock(&cuda.mu);
  if (!status) *out = d;
  return status;
}

static OrtStatus *upload(const OrtApi *api, const mr_cuda_device *d, const void *bytes, size_t size, mr_cu_pointer *out) {
  const mr_cuda_driver *driver = d->driver;
  char what[64];
  snprintf(what, sizeof what, "%zu bytes for an operator", size);
  CUDA_TRY(ORT_EP_FAIL, what, driver->cuMemAlloc(out, size));
  mr_cu_result result = driver->cuMemcpyHtoD(*out, bytes, size);
  // The copy may return while the last of it is under way, and a Run's stream
  // does not wait for this one.
  if (!result) result = driver->cuStreamSynchronize(NULL);
  if (!result) return NULL;
  driver->cuMemFree(*out);
  *out = 0;
  return failed(api, driver, ORT_EP_FAIL, what, result, "");
}

OrtStatus *mr_cuda_upload(const OrtApi *api, const mr_cuda_device *d, const void *bytes, size_t size, mr_cu_pointer *out) {
  TRY(enter(api, d));
  OrtStatus *status = upload(api, d, bytes, size, out);
  leave(d);
  return status;
}

void mr_cuda_free(const mr_cuda_device *d, mr_cu_pointer p) {
  // A context that cannot be entered is lost, and its memory with it.
  if (!p || d->driver->cuCtxPushCurrent(d->context)) return;
  d->driver->cuMemFree(p);
  leave(d);
}

OrtStatus *mr_cuda_run(const OrtApi *api, const mr_cuda_device *d, OrtKernelContext *context, mr_cuda_launch launch,
                       void *argument) {
  void *stream;
  TRY(api->KernelContext_GetGPUComputeStream(context, &stream));
  if (!launch.blocks) return NULL;
  if (launch.blocks > INT32_MAX) return api->CreateStatus(ORT_INVALID_ARGUMENT, "CUDA: more rows than a launch can have");
  TRY(enter(api, d));
  void *arguments[] = {argument};
  mr_cu_result result = d->driver->cuLaunchKernel(d->kernel[launch.kernel], (unsigned)launch.blocks, 1, 1, launch.threads,
                                                  1, 1, launch.shared, stream, arguments, NULL);
  leave(d);
  return result ? failed(api, d->driver, ORT_EP_FAIL, "cuLaunchKernel", result, "") : NULL;
}
