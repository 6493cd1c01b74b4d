// The operators of ops.h on NVIDIA devices: kernels in cuda/kernels.cu, launched
// through the driver, which is loaded when the first such operator is made.
// cuda/layout.h says how a forest lies there.
#ifndef MILLRACE_ORT_CUDA_H
#define MILLRACE_ORT_CUDA_H

#include "cuda/layout.h"
#include "cuda_stand_in.h"
#include "driver.h"
#include "ops.h"

// The kernels, compiled by cuda/compile.sh.
extern const char mr_cuda_fatbin[];

// F(name, percent of L1 cache to be shared memory). -1 is the driver's choice,
// for kernels that read nodes or features through the cache; 0 is a kernel that
// needs little.
#define MR_CUDA_KERNELS(F)                                                                                       \
  F(mr_trees_staged_one_le, 100) F(mr_trees_staged_one, 100) F(mr_trees_staged, 100)                             \
  F(mr_trees_direct_one_le, -1) F(mr_trees_direct, -1) F(mr_trees_pairs_one_le, -1) F(mr_trees_pairs, -1)         \
  F(mr_trees_wide, -1) F(mr_trees_general, 0) F(mr_affine_values, 0) F(mr_affine_sums, 0)

#define MR_CUDA_KERNEL(name, carveout) K_##name,
typedef enum { MR_CUDA_KERNELS(MR_CUDA_KERNEL) MR_CUDA_KERNEL_COUNT } mr_cuda_kernel;

enum { MR_CUDA_MOST_DEVICES = 64 };

// A device, its context and the kernels loaded into it; made once and kept, as
// loading compiles them for a device newer than they are.
typedef struct {
  const mr_driver_functions *driver;
  mr_cu_context context;
  mr_cu_module module;
  mr_cu_function kernel[MR_CUDA_KERNEL_COUNT];
  int processors;
  size_t shared_processor, shared_block; // bytes
} mr_cuda_device;

// The device of an ordinal, as the CUDA provider counts them. Errors say what
// the driver said, or that it is missing.
OrtStatus *mr_cuda_open(const OrtApi *api, int ordinal, const mr_cuda_device **out);

// Copies bytes into memory of the device; mr_cuda_free(d, 0) does nothing.
OrtStatus *mr_cuda_upload(const OrtApi *api, const mr_cuda_device *d, const void *bytes, size_t size, mr_cu_pointer *out);
void mr_cuda_free(const mr_cuda_device *d, mr_cu_pointer p);

typedef struct {
  mr_cuda_kernel kernel;
  uint64_t blocks;
  uint32_t threads, shared; // bytes
} mr_cuda_launch;

// Appends a kernel with one argument to the stream that a Run computes on.
OrtStatus *mr_cuda_run(const OrtApi *api, const mr_cuda_device *d, OrtKernelContext *context, mr_cuda_launch launch,
                       void *argument);

// An operator of one device.
typedef struct {
  OrtCustomOp op; // first, as ONNX Runtime hands back a pointer to it
  int device;
} mr_cuda_op;

// Make an operator of the processor's one for a device.
void mr_cuda_trees_regressor(OrtCustomOp *op);
void mr_cuda_trees_classifier_ints(OrtCustomOp *op);
void mr_cuda_affine_op(OrtCustomOp *op);
void mr_cuda_linear_op(OrtCustomOp *op);

#endif
