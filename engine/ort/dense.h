// Chains of dense layers, as of multi-layer perceptrons, as one pass over a
// matrix: a tile of rows goes through all layers while it is in the first-level
// cache. docs/decisions/019 says why.
#ifndef MILLRACE_ORT_DENSE_H
#define MILLRACE_ORT_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "affine.h"
#include "ops.h"

// What is done to a layer's sums. In all, NaN stays NaN, as with ONNX Runtime.
typedef enum { MR_NONE, MR_RELU, MR_LEAKY_RELU, MR_CLIP, MR_ACTIVATIONS } mr_activation;

// y = activation(x W + b). Each output is one sum: it begins with the bias, and
// the products follow by inputs from first to last, each rounded once with the
// sum so far (fused multiply-add). So a row's bits depend neither on the rows
// beside it nor on the level.
typedef struct {
  size_t inputs, outputs;
  uint32_t activation; // mr_activation
  float low, high;     // MR_LEAKY_RELU: the slope is low; MR_CLIP: the bounds
  const float *bias;   // [outputs]
  // By blocks of outputs, see mr_dense_block: [block][inputs][outputs of it].
  const float *weights;
} mr_layer;

typedef struct {
  size_t inputs, outputs; // of the chain
  size_t sums;            // multiply-adds a row
  size_t even, odd;       // most columns before or after layers 0, 2, 4 ...; 1, 3, 5 ...
  uint32_t n_layers;
  const mr_layer *layers;
  mr_affine *affine; // what is done to the input first; NULL: nothing
  void *memory;
} mr_dense;

// A tile holds rows as columns: value k of row r is tile[k * rows + r].
typedef struct {
  size_t rows;  // of a tile
  size_t block; // most outputs of a block, a power of two
  // Writes a matrix [rows][columns], whose rows lie from floats apart, as
  // [columns][rows], whose columns lie to apart.
  void (*turn)(const float *x, size_t rows, size_t columns, size_t from, float *y, size_t to);
  // Writes n rows of columns from row on, which lies in *p or behind it, as
  // [columns][rows], whose columns lie to apart.
  void (*gather)(const mr_columns *c, mr_place *p, size_t row, size_t n, float *y, size_t to);
  // These compute a tile, or some rows of one, one at least; tiles begin where a vector may.
  void (*affine)(const mr_affine *a, size_t columns, float *tile);
  void (*layer)(const mr_layer *l, const float *in, size_t rows, float *out);
  // Writes the sums of n rows from row on, stages before: the bits of affine.h.
  void (*sum)(const mr_affine *a, const mr_columns *c, size_t row, size_t n, float *y);
} mr_dense_kernel;

// What the processor has; NULL where it has no fused multiply-add.
const mr_dense_kernel *mr_dense_choose(void);

extern const mr_dense_kernel mr_dense_plain, mr_dense_avx2, mr_dense_avx512;

// How many outputs the next block has when so many are left.
static inline size_t mr_dense_block(size_t most, size_t left) {
  while (most > left) most /= 2;
  return most;
}

// Reads what models.denseChain.encode wrote, for a kernel, and what chain.encode
// wrote for what comes before, if size of it is not 0; NULL when it is not that, or
// there is no memory. The bytes are not needed afterwards.
typedef struct {
  const uint8_t *bytes;
  size_t size;
} mr_layout;
mr_dense *mr_dense_read(mr_layout layers, mr_layout stages, const mr_dense_kernel *kernel);
void mr_dense_free(mr_dense *d);

#endif
