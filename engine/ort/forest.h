// A tree ensemble in the form that the kernels of op_trees.c run.
//
// A row's features become integers whose order is that of the floats, so that
// every split is one comparison of integers, and a NaN is the largest or the
// smallest of them, wherever the split sends it: a column is one feature in one
// of these forms. Rows are taken by tiles; a column of a tile lies together.
//
// Small trees are not walked. What a split asks of the rows of a tile is a plane,
// one bit a row, and trees ask the same again and again: each distinct question is
// answered once. First every value becomes its rank among the bounds that its column is
// compared with, one byte, and a comparison of bytes gives the planes. Then a row's leaf
// in a tree is computed bit by bit, for all rows of a tile at once: the leaves have codes,
// and a bit of the code, from the leaves up to the root, is that of the true side or of
// the false side, as the split's plane says. So a split costs a few bitwise operations
// for 128 to 512 rows, without a branch (docs/decisions/037).
//
// Large trees, where most splits lie off a row's path, are walked, many rows at
// once.
#ifndef MILLRACE_ORT_FOREST_H
#define MILLRACE_ORT_FOREST_H

#include <stddef.h>
#include <stdint.h>

#include "cuda/finish.h"
#include "ops.h"

enum { TILE = 1024, PLANE = TILE / 8 }; // rows at most, and bytes of their plane

// One step: bit by bit, plane to becomes failed where test is set, and passed where it
// is not.
typedef struct {
  uint16_t to, test, passed, failed;
} mr_step;

// The first planes of each group.
enum { ZEROS, ONES, FIRST_TEST };

// Rows whose column is above bounds: plane first + i is of the i-th, in ascending order.
// A value's rank is how many bounds it is above. It is found by halves: pivot
// (1 << level) - 1 + p, of which there are levels, is the bound in the middle of the p-th
// part; those behind the last are INT32_MAX, which nothing is above.
typedef struct {
  uint32_t column; // in elements from the tile's start
  uint32_t first, n, levels;
  const int32_t *pivots; // [1 << levels], and room for 32
} mr_ranks;

enum { MOST_RANKS = 255, MOST_BITS = 12 };

// Trees whose planes, steps and leaves stay in a core's cache together.
typedef struct {
  uint32_t first, last; // of the trees
  uint32_t n_ranks, n_steps, n_planes;
  const mr_ranks *ranks;
  const mr_step *steps; // what is done before the trees: planes of equality
} mr_group;

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

// What the first word of a node says. One with or is a split on equality, and its false side is
// the next: another, whose true side is both's. Such a chain is how exporters write a test of
// membership in a set of categories.
static inline uint32_t mr_kind(uint32_t head) { return head >> 24 & 0x7f; }
static inline uint32_t mr_feature_of(uint32_t head) { return head & 0xffffff; }
static inline int mr_or(uint32_t head) { return head >> 31 != 0; }

typedef struct {
  uint32_t root;           // as in mr_node.next
  uint32_t n_nodes;
  const mr_node *nodes;
  uint32_t leaves, targets;
  const uint32_t *target;  // ids, ascending
  const float *values;     // [targets][leaves]
  // Where mr_forest_plan found that better; else no steps, and it is walked.
  int planned;
  uint32_t n_steps, bits;  // of a leaf's code
  const mr_step *steps;
  uint16_t plane[MOST_BITS];
  const float *coded;      // [targets][1 << bits]
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
  uint32_t rows;        // of a tile: fewer than TILE where columns are many
  mr_tree *trees;
  mr_feature *features; // that are split on, ascending
  // How scores become outputs; see cuda/finish.h.
  int average, classifier, binary, positive;
  int chains; // some split has the true side of another
  int transform;
  uint32_t n_base;
  const float *base;    // [targets]
  const uint32_t *has;  // [targets]: some tree always adds to it
  void *memory;         // all of the above
  // What mr_forest_plan adds.
  uint32_t n_groups, n_planes; // the most of a group
  mr_group *groups;
  void *plan;                  // blocks of memory, each beginning with where the next is
} mr_forest;

// Reads what models.encodeForest wrote; *error says what is wrong with it. The
// bytes are not needed afterwards.
mr_forest *mr_forest_read(const uint8_t *bytes, size_t size, const char **error);
// Makes groups of its trees for the kernels of a level; 0 when there is no memory.
int mr_forest_plan(mr_forest *f, mr_level level);
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
// what the trees of a group give its rows. It works in planes, [n_planes][PLANE] bytes at a
// multiple of 64.
typedef struct {
  void (*fill)(const mr_forest *f, const float *x, size_t stride, size_t n, int32_t *tile);
  void (*fill_columns)(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile);
  void (*score)(const mr_forest *f, const mr_group *g, size_t n, const int32_t *tile, void *planes, float *scores);
} mr_forest_kernel;

// Of fewer rows all trees are walked: planes, which are of a whole tile, would take longer.
enum { FEW_ROWS = 16 };

extern const mr_forest_kernel mr_forest_plain, mr_forest_avx2, mr_forest_avx512;

// Where what is read after the i-th feature of n rows is: the next feature, or the first of the
// next rows.
static inline uintptr_t mr_forest_after(const mr_forest *f, const mr_place *p, uint32_t i, size_t row, size_t n) {
  const uint32_t last = i + 1 == f->n_features;
  return mr_row_at(&p->segment->columns[f->features[last ? 0 : i + 1].feature], row - p->begin + (last ? n : 0));
}

// One tree that is walked; leaf gets the leaf of each row.
void mr_forest_walk(const mr_tree *t, size_t n, const int32_t *tile, uint32_t *leaf);

// The rows of an input, and how far apart they lie; an error when rows are not
// width features wide.
OrtStatus *mr_trees_shape(const OrtApi *api, const mr_matrix *x, uint32_t width, size_t *rows, size_t *stride);

#endif
