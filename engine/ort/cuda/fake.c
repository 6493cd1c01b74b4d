// A driver that keeps a driver's rules: what it is given must be its own, and of
// the context that is current.
#define _GNU_SOURCE
#include "fake.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "functions.h"

enum { DEVICES = 2, MOST_CALLS = 1 << 16 };
enum { // CUresult
  INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719
};

struct mr_cu_context_of {
  int device, retained;
};
struct mr_cu_module_of {
  mr_cu_context context;
};
struct mr_cu_function_of {
  mr_cu_context context;
  int kernel, shared;
};

static struct {
  pthread_mutex_t mu;
  struct mr_cu_context_of contexts[DEVICES];
  struct mr_cu_module_of modules[DEVICES];
  struct mr_cu_function_of functions[DEVICES][64];
  int processors, shared_processor, shared_block, allocations;
  char fail[64], log[256]; // the call that is to fail, or
  int countdown;           // how many calls from now
  int code;
  char calls[MOST_CALLS];
  size_t used;
} fake = {.mu = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local mr_cu_context stack[8];
static _Thread_local int depth;

static mr_cu_context current(void) { return depth ? stack[depth - 1] : NULL; }

// Notes a call, and says how it is to fail; 0: not.
__attribute__((format(printf, 2, 3))) static mr_cu_result called(const char *name, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  pthread_mutex_lock(&fake.mu);
  if (fake.used < MOST_CALLS - 512)
    fake.used += (size_t)snprintf(fake.calls + fake.used, MOST_CALLS - fake.used, "%s%s%s\n", name, *text ? " " : "", text);
  mr_cu_result code = 0;
  if (!strcmp(fake.fail, name) || (fake.countdown && !--fake.countdown)) {
    code = fake.code;
    fake.fail[0] = 0;
  }
  pthread_mutex_unlock(&fake.mu);
  return code;
}

// Notes a call that gives something back, and so does not fail.
#define gave_back(name, ...)                            \
  do {                                                  \
    const int countdown_ = fake.countdown;              \
    fake.countdown = 0;                                 \
    (void)called(name, __VA_ARGS__);                    \
    fake.countdown = countdown_;                        \
  } while (0)

#define CALLED(name, ...)                               \
  do {                                                  \
    mr_cu_result code_ = called(name, __VA_ARGS__);     \
    if (code_) return code_;                            \
  } while (0)

static mr_cu_result init(unsigned flags) {
  CALLED("cuInit", "%u", flags);
  return 0;
}

static mr_cu_result error_name(mr_cu_result result, const char **text) {
  *text = result == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : result == LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED" : NULL;
  return *text ? 0 : INVALID_VALUE;
}

static mr_cu_result error_string(mr_cu_result result, const char **text) {
  *text = result == OUT_OF_MEMORY ? "out of memory" : result == LAUNCH_FAILED ? "unspecified launch failure" : NULL;
  return *text ? 0 : INVALID_VALUE;
}

static mr_cu_result driver_version(int *out) {
  CALLED("cuDriverGetVersion", "%s", "");
  *out = 13010;
  return 0;
}

static mr_cu_result device_count(int *out) {
  CALLED("cuDeviceGetCount", "%s", "");
  *out = DEVICES;
  return 0;
}

static mr_cu_result device_get(mr_cu_device *out, int ordinal) {
  CALLED("cuDeviceGet", "%d", ordinal);
  if (ordinal < 0 || ordinal >= DEVICES) return INVALID_DEVICE;
  *out = ordinal;
  return 0;
}

static mr_cu_result device_name(char *out, int room, mr_cu_device device) {
  CALLED("cuDeviceGetName", "of %d", device);
  snprintf(out, (size_t)room, "fake %d", device);
  return 0;
}

static mr_cu_result device_address(char *out, int room, mr_cu_device device) {
  CALLED("cuDeviceGetPCIBusId", "of %d", device);
  snprintf(out, (size_t)room, "0000:%02x:00.0", device);
  return 0;
}

static mr_cu_result set_flags(mr_cu_device device, unsigned flags) {
  CALLED("cuDevicePrimaryCtxSetFlags", "%u of %d", flags, device);
  return 0;
}

static mr_cu_result device_memory(size_t *out, mr_cu_device device) {
  CALLED("cuDeviceTotalMem", "of %d", device);
  *out = (size_t)1 << 30;
  return 0;
}

static mr_cu_result device_attribute(int *out, int attribute, mr_cu_device device) {
  CALLED("cuDeviceGetAttribute", "%d of %d", attribute, device);
  switch (attribute) {
    case MR_CU_PROCESSORS: *out = fake.processors; return 0;
    case MR_CU_SHARED_PROCESSOR: *out = fake.shared_processor; return 0;
    case MR_CU_SHARED_BLOCK: *out = fake.shared_block; return 0;
    default: return INVALID_VALUE;
  }
}

static mr_cu_result retain(mr_cu_context *out, mr_cu_device device) {
  CALLED("cuDevicePrimaryCtxRetain", "%d", device);
  fake.contexts[device].device = device;
  fake.contexts[device].retained++;
  *out = &fake.contexts[device];
  return 0;
}

static mr_cu_result release(mr_cu_device device) {
  gave_back("cuDevicePrimaryCtxRelease", "%d", device);
  fake.contexts[device].retained--;
  return 0;
}

static mr_cu_result push(mr_cu_context context) {
  CALLED("cuCtxPushCurrent", "%d", context->device);
  if (!context->retained || depth == (int)(sizeof stack / sizeof *stack)) return INVALID_CONTEXT;
  stack[depth++] = context;
  return 0;
}

static mr_cu_result pop(mr_cu_context *out) {
  gave_back("cuCtxPopCurrent", "%s", "");
  if (!depth) return INVALID_CONTEXT;
  *out = stack[--depth];
  return 0;
}

static mr_cu_result load(mr_cu_module *out, const void *image, unsigned n, int *options, void **values) {
  mr_cu_result code = called("cuModuleLoadDataEx", "%u options", n);
  size_t bytes = 0;
  char *log = NULL;
  for (unsigned i = 0; i < n; i++) {
    if (options[i] == MR_CU_JIT_ERROR_LOG) log = values[i];
    if (options[i] == MR_CU_JIT_ERROR_LOG_BYTES) bytes = (size_t)(uintptr_t)values[i];
  }
  if (code) return snprintf(log, bytes, "%s", fake.log), code;
  if (!current()) return INVALID_CONTEXT;
  if (memcmp(image, "\x50\xed\x55\xba", 4)) return INVALID_VALUE; // no fat binary
  *out = &fake.modules[current()->device];
  (*out)->context = current();
  return 0;
}

static mr_cu_result unload(mr_cu_module module) {
  gave_back("cuModuleUnload", "of %d", module->context->device);
  return module->context == current() ? 0 : INVALID_CONTEXT;
}

static mr_cu_result get_function(mr_cu_function *out, mr_cu_module module, const char *name) {
  CALLED("cuModuleGetFunction", "%s", name);
  const int kernel = mr_emulated_kernel(name);
  if (kernel < 0) return NOT_FOUND;
  *out = &fake.functions[module->context->device][kernel];
  **out = (struct mr_cu_function_of){.context = module->context, .kernel = kernel, .shared = 48 << 10};
  return 0;
}

static mr_cu_result set_function(mr_cu_function function, int attribute, int value) {
  CALLED("cuFuncSetAttribute", "%s %d %d", mr_emulated_name(function->kernel), attribute, value);
  if (attribute == MR_CU_FUNCTION_CARVEOUT) return 0;
  if (attribute != MR_CU_FUNCTION_SHARED || value > fake.shared_block) return INVALID_VALUE;
  function->shared = value;
  return 0;
}

static mr_cu_result allocate(mr_cu_pointer *out, size_t bytes) {
  CALLED("cuMemAlloc", "%s", "");
  if (!current()) return INVALID_CONTEXT;
  void *p = bytes ? aligned_alloc(256, (bytes + 255) & ~(size_t)255) : NULL;
  if (!p) return bytes ? OUT_OF_MEMORY : INVALID_VALUE;
  __atomic_add_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  *out = (uintptr_t)p;
  return 0;
}

static mr_cu_result release_memory(mr_cu_pointer p) {
  gave_back("cuMemFree", "%s", "");
  if (!current()) return INVALID_CONTEXT;
  __atomic_sub_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  free((void *)(uintptr_t)p);
  return 0;
}

static mr_cu_result allocate_host(void **out, size_t bytes, unsigned flags) {
  CALLED("cuMemHostAlloc", "%u", flags);
  if (!current()) return INVALID_CONTEXT;
  *out = bytes ? malloc(bytes) : NULL;
  if (!*out) return bytes ? OUT_OF_MEMORY : INVALID_VALUE;
  __atomic_add_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  return 0;
}

static mr_cu_result release_host(void *memory) {
  gave_back("cuMemFreeHost", "%s", "");
  if (!current()) return INVALID_CONTEXT;
  __atomic_sub_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  free(memory);
  return 0;
}

static mr_cu_result copy_in(mr_cu_pointer to, const void *from, size_t bytes) {
  CALLED("cuMemcpyHtoD", "%s", "");
  if (!current()) return INVALID_CONTEXT;
  memcpy((void *)(uintptr_t)to, from, bytes);
  return 0;
}

static mr_cu_result copy_in_async(mr_cu_pointer to, const void *from, size_t bytes, void *stream) {
  CALLED("cuMemcpyHtoDAsync", "%s", "");
  if (!current() || !stream) return INVALID_CONTEXT;
  memcpy((void *)(uintptr_t)to, from, bytes);
  return 0;
}

static mr_cu_result copy_out_async(void *to, mr_cu_pointer from, size_t bytes, void *stream) {
  CALLED("cuMemcpyDtoHAsync", "%s", "");
  if (!current() || !stream) return INVALID_CONTEXT;
  memcpy(to, (const void *)(uintptr_t)from, bytes);
  return 0;
}

static mr_cu_result make_stream(void **out, unsigned flags) {
  CALLED("cuStreamCreate", "%u", flags);
  if (!current()) return INVALID_CONTEXT;
  *out = malloc(1);
  __atomic_add_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  return 0;
}

static mr_cu_result release_stream(void *stream) {
  gave_back("cuStreamDestroy", "%s", "");
  __atomic_sub_fetch(&fake.allocations, 1, __ATOMIC_RELAXED);
  free(stream);
  return 0;
}

static mr_cu_result synchronize(void *stream) {
  CALLED("cuStreamSynchronize", "%s", stream ? "of its own" : "");
  return current() ? 0 : INVALID_CONTEXT;
}

static mr_cu_result launch(mr_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                           unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **arguments, void **extra) {
  (void)stream;
  CALLED("cuLaunchKernel", "%s %ux%u", mr_emulated_name(function->kernel), grid_x, block_x);
  if (function->context != current()) return INVALID_HANDLE;
  if (!grid_x || grid_y != 1 || grid_z != 1 || !block_x || block_x > 1024 || block_y != 1 || block_z != 1 || extra ||
      shared > (unsigned)function->shared)
    return INVALID_VALUE;
  const char *error = mr_emulate(function->kernel, grid_x, block_x, shared, arguments[0]);
  if (error) fprintf(stderr, "%s: %s\n", mr_emulated_name(function->kernel), error);
  return error ? ILLEGAL_ADDRESS : 0;
}

static const mr_driver_functions driver = {
    .cuInit = init, .cuGetErrorName = error_name, .cuGetErrorString = error_string, .cuDriverGetVersion = driver_version,
    .cuDeviceGetCount = device_count, .cuDeviceGet = device_get, .cuDeviceGetName = device_name,
    .cuDeviceGetPCIBusId = device_address, .cuDevicePrimaryCtxSetFlags = set_flags, .cuDeviceTotalMem = device_memory, .cuDeviceGetAttribute = device_attribute, .cuDevicePrimaryCtxRetain = retain,
    .cuDevicePrimaryCtxRelease = release, .cuCtxPushCurrent = push, .cuCtxPopCurrent = pop, .cuModuleLoadDataEx = load,
    .cuModuleUnload = unload, .cuModuleGetFunction = get_function, .cuFuncSetAttribute = set_function,
    .cuMemAlloc = allocate, .cuMemFree = release_memory, .cuMemHostAlloc = allocate_host, .cuMemFreeHost = release_host,
    .cuMemcpyHtoD = copy_in, .cuMemcpyHtoDAsync = copy_in_async, .cuMemcpyDtoHAsync = copy_out_async,
    .cuStreamCreate = make_stream, .cuStreamDestroy = release_stream, .cuStreamSynchronize = synchronize,
    .cuLaunchKernel = launch,
};

const void *mr_fake_driver(void) { return &driver; }

void mr_fake_reset(int processors, int shared_processor, int shared_block) {
  pthread_mutex_lock(&fake.mu);
  memset(fake.contexts, 0, sizeof fake.contexts);
  fake.processors = processors;
  fake.shared_processor = shared_processor;
  fake.shared_block = shared_block;
  fake.fail[0] = 0;
  fake.countdown = 0;
  fake.allocations = 0;
  fake.used = 0;
  pthread_mutex_unlock(&fake.mu);
}

static void fail(const char *call, int k, int code, const char *log) {
  pthread_mutex_lock(&fake.mu);
  snprintf(fake.fail, sizeof fake.fail, "%s", call);
  snprintf(fake.log, sizeof fake.log, "%s", log);
  fake.countdown = k;
  fake.code = code;
  pthread_mutex_unlock(&fake.mu);
}

void mr_fake_fail(int k, int code, const char *log) { fail("", k, code, log); }
void mr_fake_fail_call(const char *call, int code, const char *log) { fail(call, 0, code, log); }

char *mr_fake_calls(void) {
  pthread_mutex_lock(&fake.mu);
  fake.calls[fake.used] = 0;
  char *text = strdup(fake.calls);
  pthread_mutex_unlock(&fake.mu);
  return text;
}

mr_fake_live mr_fake_left(void) {
  mr_fake_live left = {.allocations = fake.allocations, .pushed = depth};
  for (int i = 0; i < DEVICES; i++) left.contexts += fake.contexts[i].retained;
  return left;
}
