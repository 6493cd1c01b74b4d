// A forest as it lies in a device's memory; see cuda/layout.h.
#ifndef MILLRACE_ORT_CUDA_FOREST_H
#define MILLRACE_ORT_CUDA_FOREST_H

#include "cuda.h"
#include "forest.h"

// Trees whose nodes lie in shared memory at once.
typedef struct {
  uint32_t trees, bytes; // 0: none
} mr_cuda_group;

// Blocks have the most threads, half, or a quarter of these where groups are.
enum { MR_CUDA_GROUPS = 3 };

typedef struct {
  // Kernels for groups, without, and without for two trees at once.
  mr_cuda_kernel staged, direct, pairs;
  mr_cuda_group group[MR_CUDA_GROUPS]; // by halvings of a block
  uint32_t row_bytes;                  // shared memory for a row's columns and sums
  size_t largest;                      // bytes of the largest tree
  // All but the rows of a Run, and the group. Pointers are offsets into image
  // until mr_cuda_forest_place.
  mr_cuda_trees arguments;
  size_t bytes;
  uint8_t *image; // to free once it is on the device
} mr_cuda_forest;

// Builds the image of the forest f for a device whose blocks have shared bytes
// of shared memory; bytes are those that f was read from. labels [targets] are
// a classifier's, else NULL. 0 when there is no memory.
int mr_cuda_forest_build(const mr_forest *f, const uint8_t *bytes, const int64_t *labels, size_t shared,
                         mr_cuda_forest *out);
// Says that the image lies at p.
void mr_cuda_forest_place(mr_cuda_forest *f, mr_cu_pointer p);

// How to launch it for the rows of a, whose group it sets.
mr_cuda_launch mr_cuda_forest_launch(const mr_cuda_forest *f, const mr_cuda_device *d, mr_cuda_trees *a);

#endif
