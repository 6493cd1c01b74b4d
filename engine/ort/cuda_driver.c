#include "cuda.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { LOG_BYTES = 1024 };

static struct {
  pthread_mutex_t mu;
  const void *driver; // of mr_cuda_stand_in
  int stand_in;       // its device and 1; 0: none
  mr_cuda_device devices[MR_CUDA_MOST_DEVICES]; // no context: not opened yet
} cuda = {.mu = PTHREAD_MUTEX_INITIALIZER};

void mr_cuda_stand_in(const void *driver, int device) {
  pthread_mutex_lock(&cuda.mu);
  if (cuda.driver != driver) memset(cuda.devices, 0, sizeof cuda.devices);
  cuda.driver = driver;
  mr_driver_stand_in(driver);
  __atomic_store_n(&cuda.stand_in, device + 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&cuda.mu);
}

int mr_cuda_stand_in_device(void) { return __atomic_load_n(&cuda.stand_in, __ATOMIC_RELAXED) - 1; }

// A status that names CUDA, by which ort.NewSession tells it from a model's fault.
static OrtStatus *status_of(const OrtApi *api, const mr_error *error) {
  char message[sizeof error->text + 8];
  snprintf(message, sizeof message, "CUDA: %s", error->text);
  return api->CreateStatus(ORT_EP_FAIL, message);
}

// A status of what the driver says of a failed call; detail may be empty.
static OrtStatus *failed(const OrtApi *api, const mr_driver_functions *driver, const char *what, mr_cu_result result,
                         const char *detail) {
  mr_error error;
  mr_driver_says(driver, &error, what, result, detail);
  return status_of(api, &error);
}

#define CUDA_TRY(what, call)                                         \
  do {                                                               \
    mr_cu_result result_ = (call);                                   \
    if (result_) return failed(api, driver, what, result_, "");      \
  } while (0)

// For a device that is newer than the kernels, loading compiles them; the
// compiler's words are the status's.
static OrtStatus *load_module(const OrtApi *api, mr_cuda_device *d) {
  char log[LOG_BYTES] = "";
  int options[] = {MR_CU_JIT_ERROR_LOG, MR_CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)sizeof log};
  mr_cu_result result = d->driver->cuModuleLoadDataEx(&d->module, mr_cuda_fatbin, 2, options, values);
  log[sizeof log - 1] = 0;
  return result ? failed(api, d->driver, "the kernels cannot be loaded", result, log) : NULL;
}

static OrtStatus *find_kernels(const OrtApi *api, mr_cuda_device *d) {
  const mr_driver_functions *driver = d->driver;
#define NAME(name, carveout) #name,
#define CARVEOUT(name, carveout) carveout,
  static const char *const names[] = {MR_CUDA_KERNELS(NAME)};
  static const int carveout[] = {MR_CUDA_KERNELS(CARVEOUT)};
  for (int i = 0; i < MR_CUDA_KERNEL_COUNT; i++) {
    CUDA_TRY(names[i], driver->cuModuleGetFunction(&d->kernel[i], d->module, names[i]));
    if (!carveout[i]) continue;
    CUDA_TRY(names[i], driver->cuFuncSetAttribute(d->kernel[i], MR_CU_FUNCTION_SHARED, (int)d->shared_block));
    CUDA_TRY(names[i], driver->cuFuncSetAttribute(d->kernel[i], MR_CU_FUNCTION_CARVEOUT, carveout[i]));
  }
  return NULL;
}

static OrtStatus *attribute(const OrtApi *api, const mr_cuda_device *d, mr_cu_device device, int which, int *out) {
  const mr_driver_functions *driver = d->driver;
  CUDA_TRY("cuDeviceGetAttribute", driver->cuDeviceGetAttribute(out, which, device));
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
  const mr_driver_functions *driver = d->driver;
  CUDA_TRY("cuCtxPushCurrent", driver->cuCtxPushCurrent(d->context));
  return NULL;
}

static void leave(const mr_cuda_device *d) {
  mr_cu_context was;
  d->driver->cuCtxPopCurrent(&was);
}

// The CUDA runtime, and so ONNX Runtime's provider, computes in a device's
// primary context, which need not be current on the thread that makes a session.
static OrtStatus *open_device(const OrtApi *api, int ordinal, mr_cuda_device *out) {
  mr_error error;
  const mr_driver_functions *driver = mr_driver(&error);
  if (!driver) return status_of(api, &error);
  mr_cuda_device d = {.driver = driver};
  mr_cu_device device;
  char what[64];
  snprintf(what, sizeof what, "device %d", ordinal);
  CUDA_TRY(what, driver->cuDeviceGet(&device, ordinal));
  CUDA_TRY(what, driver->cuDevicePrimaryCtxRetain(&d.context, device));
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
  OrtStatus *status = d->context ? NULL : open_device(api, ordinal, d);
  pthread_mutex_unlock(&cuda.mu);
  if (!status) *out = d;
  return status;
}

static OrtStatus *upload(const OrtApi *api, const mr_cuda_device *d, const void *bytes, size_t size, mr_cu_pointer *out) {
  const mr_driver_functions *driver = d->driver;
  char what[64];
  snprintf(what, sizeof what, "%zu bytes for an operator", size);
  CUDA_TRY(what, driver->cuMemAlloc(out, size));
  mr_cu_result result = driver->cuMemcpyHtoD(*out, bytes, size);
  // The copy may return while the last of it is under way, and a Run's stream
  // does not wait for this one.
  if (!result) result = driver->cuStreamSynchronize(NULL);
  if (!result) return NULL;
  driver->cuMemFree(*out);
  *out = 0;
  return failed(api, driver, what, result, "");
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
  return result ? failed(api, d->driver, "cuLaunchKernel", result, "") : NULL;
}
