// What of NVIDIA's driver API is used, as a table of functions, so that nothing
// is linked and another driver can stand in its place. Names, values and order
// of arguments are those of the CUDA driver API's reference.
#ifndef MILLRACE_ORT_CUDA_FUNCTIONS_H
#define MILLRACE_ORT_CUDA_FUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef int mr_cu_result; // 0: success
typedef int mr_cu_device;
typedef struct mr_cu_context_of *mr_cu_context;
typedef struct mr_cu_module_of *mr_cu_module;
typedef struct mr_cu_function_of *mr_cu_function;
typedef uint64_t mr_cu_pointer; // into device memory

enum {
  MR_CU_PROCESSORS = 16,            // CUdevice_attribute: multiprocessors
  MR_CU_SHARED_PROCESSOR = 81,      // bytes of shared memory of one
  MR_CU_SHARED_BLOCK = 97,          // and of one block that asks for it
  MR_CU_FUNCTION_SHARED = 8,        // CUfunction_attribute: dynamic shared memory allowed
  MR_CU_FUNCTION_CARVEOUT = 9,      // percent of L1 cache that may be shared memory
  MR_CU_JIT_ERROR_LOG = 5,          // CUjit_option
  MR_CU_JIT_ERROR_LOG_BYTES = 6,
  MR_CU_HOST_PORTABLE = 1,          // CU_MEMHOSTALLOC_PORTABLE: for all contexts
  MR_CU_STREAM_NON_BLOCKING = 1,    // CUstream_flags: beside the default stream
  MR_CU_BLOCKING_SYNC = 4,          // CU_CTX_SCHED_BLOCKING_SYNC: who waits sleeps
};

// F(function, symbol in the library, arguments).
#define MR_DRIVER_FUNCTIONS(F)                                                                                       \
  F(cuInit, "cuInit", (unsigned flags))                                                                             \
  F(cuGetErrorName, "cuGetErrorName", (mr_cu_result result, const char **text))                                     \
  F(cuGetErrorString, "cuGetErrorString", (mr_cu_result result, const char **text))                                 \
  F(cuDriverGetVersion, "cuDriverGetVersion", (int *out))                                                           \
  F(cuDeviceGetCount, "cuDeviceGetCount", (int *out))                                                               \
  F(cuDeviceGet, "cuDeviceGet", (mr_cu_device * out, int ordinal))                                                  \
  F(cuDeviceGetName, "cuDeviceGetName", (char *out, int room, mr_cu_device device))                                 \
  F(cuDeviceTotalMem, "cuDeviceTotalMem_v2", (size_t *out, mr_cu_device device))                                    \
  F(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *out, int attribute, mr_cu_device device))                   \
  F(cuDeviceGetPCIBusId, "cuDeviceGetPCIBusId", (char *out, int room, mr_cu_device device))                         \
  F(cuDevicePrimaryCtxSetFlags, "cuDevicePrimaryCtxSetFlags_v2", (mr_cu_device device, unsigned flags))             \
  F(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (mr_cu_context * out, mr_cu_device device))               \
  F(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (mr_cu_device device))                               \
  F(cuCtxPushCurrent, "cuCtxPushCurrent_v2", (mr_cu_context context))                                               \
  F(cuCtxPopCurrent, "cuCtxPopCurrent_v2", (mr_cu_context * out))                                                   \
  F(cuModuleLoadDataEx, "cuModuleLoadDataEx",                                                                       \
    (mr_cu_module * out, const void *image, unsigned n, int *options, void **values))                               \
  F(cuModuleUnload, "cuModuleUnload", (mr_cu_module module))                                                        \
  F(cuModuleGetFunction, "cuModuleGetFunction", (mr_cu_function * out, mr_cu_module module, const char *name))      \
  F(cuFuncSetAttribute, "cuFuncSetAttribute", (mr_cu_function function, int attribute, int value))                  \
  F(cuMemAlloc, "cuMemAlloc_v2", (mr_cu_pointer * out, size_t bytes))                                               \
  F(cuMemFree, "cuMemFree_v2", (mr_cu_pointer pointer))                                                             \
  F(cuMemHostAlloc, "cuMemHostAlloc", (void **out, size_t bytes, unsigned flags))                                   \
  F(cuMemFreeHost, "cuMemFreeHost", (void *memory))                                                                 \
  F(cuMemcpyHtoD, "cuMemcpyHtoD_v2", (mr_cu_pointer to, const void *from, size_t bytes))                            \
  F(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (mr_cu_pointer to, const void *from, size_t bytes, void *stream))    \
  F(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void *to, mr_cu_pointer from, size_t bytes, void *stream))          \
  F(cuStreamCreate, "cuStreamCreate", (void **out, unsigned flags))                                                 \
  F(cuStreamDestroy, "cuStreamDestroy_v2", (void *stream))                                                          \
  F(cuStreamSynchronize, "cuStreamSynchronize", (void *stream))                                                     \
  F(cuLaunchKernel, "cuLaunchKernel",                                                                               \
    (mr_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
     unsigned block_z, unsigned shared, void *stream, void **arguments, void **extra))

#define MR_DRIVER_FIELD(name, symbol, arguments) mr_cu_result(*name) arguments;
typedef struct {
  MR_DRIVER_FUNCTIONS(MR_DRIVER_FIELD)
} mr_driver_functions;

#endif
