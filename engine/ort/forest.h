// A tree ensemble in the form that the kernels of op_trees.c run.
//
// A row's features become integers whose order is that of the floats, so that
// every split is one comparison of integers, and a NaN is the largest or the
// smallest of them, wherever the split sends it: a column is one feature in one
// of these forms. Rows are taken by tiles of TILE; a column of a tile lies
// together.
//
// Small trees are not walked. A tree's leaves are numbered from left (true) to
// right; a split that a row fails rules out the leaves of its true side, and the
// row's leaf is the first that nothing has ruled out (QuickScorer: Lucchese et
// al., SIGIR 2015). So each split is one comparison and one AND of a row's mask
// of leaves, without a branch, and 4 to 16 rows go at once. A mask is cut into
// words of 32 leaves, the first leaf in the highest bit, and a split has an
// entry for each word that it touches.
//
// Large trees, where most splits lie off a row's path, are walked, many rows at
// once.
#ifndef MILLRACE_ORT_FOREST_H
#define MILLRACE_ORT_FOREST_H

#include <stddef.h>
#include <stdint.h>

#include "cuda/finish.h"
#include "ops.h"

enum { TILE = 128, WORD = 32 };

// Rows whose column is not below bound keep only the leaves of keep.
typedef struct {
  union {
    struct {
      int32_t bound;
      uint32_t keep;
    };
    uint32_t pair[2]; // both, for kernels that load them as one
  };
  uint32_t column; // in elements from the tile's start
} mr_entry;

// Rows whose column is above bound go to next[1], others to next[0]. LEAF is set
// in the index of a leaf.
typedef struct {
  int32_t bound;
  uint32_t column;
  uint32_t next[2];
} mr_node;

#define LEAF 0x80000000u

// The words of the layout; models/forest_layout.go draws it.
enum { MRF_MAGIC = 0x3146524d, MRF_HEAD = 12, MRF_TREE = 3, MRF_NODE = 2 };
enum { LE_NAN_FALSE, LE_NAN_TRUE, EQ_NAN_FALSE, EQ_NAN_TRUE, IS_LEAF, KINDS };

typedef struct {
  uint32_t words;          // of a mask of leaves; 0: a tree to walk
  uint32_t root;           // of a tree to walk: as in mr_node.next
  const uint32_t *counts;  // entries of each word
  const mr_entry *entries; // word by word
  const mr_node *nodes;
  uint32_t leaves, targets;
  const uint32_t *target;  // ids, ascending
  const float *values;     // [targets][stride]
  uint32_t stride;         // leaves, rounded up to whole words
} mr_tree;

// What a feature becomes; NONE where no split needs that.
enum { NAN_HIGH, NAN_LOW, NEGATED, FORMS };
#define NONE 0xffffffffu
typedef struct {
  uint32_t feature;
  uint32_t column[FORMS];
} mr_feature;

typedef struct {
  uint32_t width;       // columns an input must have at least
  uint32_t targets, n_trees, n_features, n_columns;
  uint32_t n_groups;
  uint32_t *group;      // first tree of each group, and n_trees: what fits a core's cache
  mr_tree *trees;
  mr_feature *features; // that are split on, ascending
  // How scores become outputs; see cuda/finish.h.
  int average, classifier, binary, positive;
  int transform;
  uint32_t n_base;
  const float *base;    // [targets]
  const uint32_t *has;  // [targets]: some tree always adds to it
  void *memory;         // all of the above
} mr_forest;

// Reads what models.encodeForest wrote; *error says what is wrong with it. The
// bytes are not needed afterwards.
mr_forest *mr_forest_read(const uint8_t *bytes, size_t size, mr_level level, const char **error);
void mr_forest_free(mr_forest *f);
mr_finish mr_forest_finish(const mr_forest *f);

// The integer of a float: the same order, and both zeros alike. Not for NaN.
static inline int32_t mr_key(float v) {
  v += 0.0f;
  int32_t bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
}

// Kernels. fill makes a tile of n rows, and fill_columns one of n rows from row on of
// columns, which lies in *p or behind it; score adds to scores [targets][TILE]
// what trees first to last give its rows.
typedef struct {
  void (*fill)(const mr_forest *f, const float *x, size_t stride, size_t n, int32_t *tile);
  void (*fill_columns)(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile);
  void (*score)(const mr_forest *f, uint32_t first, uint32_t last, size_t n, const int32_t *tile, float *scores);
} mr_forest_kernel;

extern const mr_forest_kernel mr_forest_plain, mr_forest_avx2, mr_forest_avx512;

// One tree that is walked; leaf gets the leaf of each row.
void mr_forest_walk(const mr_tree *t, size_t n, const int32_t *tile, uint32_t *leaf);

// The rows of an input, and how far apart they lie; an error when rows are not
// width features wide.
OrtStatus *mr_trees_shape(const OrtApi *api, const mr_matrix *x, uint32_t width, size_t *rows, size_t *stride);

#endif
