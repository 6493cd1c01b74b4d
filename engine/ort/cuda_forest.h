// A forest as it lies in a device's memory; see cuda/layout.h.
#ifndef MILLRACE_ORT_CUDA_FOREST_H
#define MILLRACE_ORT_CUDA_FOREST_H

#include "cuda.h"
#include "forest.h"

typedef struct {
  mr_cuda_kernel kernel;
  // All but the rows of a Run. Pointers are offsets into image until
  // mr_cuda_forest_place.
  mr_cuda_trees arguments;
  uint32_t group_bytes; // shared memory for a group's nodes; 0: none
  uint32_t sum_bytes;   // and for the sums of a row; 0: they lie elsewhere
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

// How to launch it for so many rows.
mr_cuda_launch mr_cuda_forest_launch(const mr_cuda_forest *f, const mr_cuda_device *d, uint64_t rows);

#endif
