// The words of CUDA that kernels.cu uses, for a C compiler. A block's threads
// take turns on one thread of the processor, and give way at a barrier.
#ifndef MILLRACE_ORT_CUDA_EMULATOR_H
#define MILLRACE_ORT_CUDA_EMULATOR_H

#include <stdint.h>

typedef struct {
  uint32_t x;
} mr_index;

extern _Thread_local mr_index threadIdx, blockIdx, blockDim, gridDim;
extern _Thread_local float *mr_emulated_shared;
void __syncthreads(void);

#define KERNEL(threads) static void
#define SHARED float *const shared = mr_emulated_shared
#define UNROLL
#define HIDE(number)

#endif
