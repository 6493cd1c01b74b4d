// What the host and the kernels of kernels.cu share: the layout of a forest in
// device memory, and the kernels' arguments.
//
// A tree's nodes lie together, the root first, level by level, and the two
// children of a split side by side: a row that passes a split goes to its
// child, one that fails it to the next. A leaf is its own child. So a step down
// is one load of a node, one of a feature, a comparison and an addition, without
// a branch, and rows that are at a leaf may take more steps with the others.
#ifndef MILLRACE_ORT_CUDA_LAYOUT_H
#define MILLRACE_ORT_CUDA_LAYOUT_H

#include <stdint.h>

#include "finish.h"

// The kind of a split, or that a node is a leaf.
#define MR_CUDA_NAN_PASSES 0x10000u
#define MR_CUDA_EQUAL 0x20000u // passes where equal, else where at most
#define MR_CUDA_LEAF 0x40000u

// value is a split's threshold. A leaf has there its value, in a tree of one
// target, or else the bits of its number.
//
//	head   child in 16 bits | kind | column << 19 in 13 bits
//
// The column, which is multiplied next, takes one shift.
typedef struct __attribute__((aligned(8))) {
  float value;
  uint32_t head;
} mr_cuda_node;
enum { MR_CUDA_MOST_CHILDREN = 1 << 16, MR_CUDA_COLUMN_SHIFT = 19, MR_CUDA_MOST_COLUMNS = 1 << 13 };

// For trees too large, or features too many, for the above.
typedef struct __attribute__((aligned(16))) {
  float value;
  uint32_t kind, feature, child;
} mr_cuda_big_node;

typedef struct {
  uint32_t targets; // of each leaf
  uint32_t target;  // where their ids are in target
  uint64_t values;  // where those of its leaves begin in values: [leaves][targets]
} mr_cuda_tree;

// Pointers are the device's.
typedef struct {
  const float *x;         // [rows][stride]
  uint64_t rows, stride;
  float *out;             // [rows][targets]
  int64_t *label;         // [rows]; NULL: a regressor
  const void *nodes;      // mr_cuda_node or mr_cuda_big_node
  const uint32_t *root;   // [trees + 1]: where each tree's nodes begin
  const mr_cuda_tree *tree; // [trees]
  const uint32_t *column; // [columns]: the feature that each column is
  const uint32_t *target;
  const float *values;
  const int64_t *labels;  // [targets]
  uint32_t n_trees, n_columns;
  uint32_t group;         // trees of which the nodes are in shared memory at once, or all
  uint32_t only;          // the target of all trees, for kernels of one
  uint32_t sums_shared;   // for others: whether sums lie in shared memory, and not in out
  mr_finish finish;
} mr_cuda_trees;

// A block's shared memory is, in this order: its rows' columns [columns][threads],
// their sums [targets][threads], and the nodes of a group of trees.
enum { MR_CUDA_MOST_THREADS = 512 };

// Trees that a thread walks at once, and for how many bytes of nodes it waits
// while it walks those of the group before.
enum { MR_CUDA_AT_ONCE = 8, MR_CUDA_BYTES_AHEAD = 64 };

// One Imputer or Scaler; its parameters of column c are parameters[(3 * i + p) *
// width + c], p one of those below.
typedef struct {
  uint32_t replaces, scales;
  float missing; // NaN: any NaN
} mr_cuda_stage;
enum { MR_CUDA_INSTEAD, MR_CUDA_OFFSET, MR_CUDA_SCALE, MR_CUDA_PARAMETERS };

typedef struct {
  const float *x;
  float *y;
  uint64_t n;     // values; for a sum: rows
  uint32_t width; // 1: all columns have the same parameters
  uint32_t n_stages;
  const mr_cuda_stage *stages;
  const float *parameters;
  const float *coefficients; // [width]
  float intercept;
} mr_cuda_affine;

// A sum is made by MR_CUDA_PARTS threads in the order of ../affine.h.
enum { MR_CUDA_PARTS = 16, MR_CUDA_AFFINE_THREADS = 256 };

#endif
