// The kernels of a forest in terms of vectors of LANES integers, compiled for
// whatever TARGET has; included with both defined by each file that makes them.
#include "columns_rows.h"
#include "forest.h"

typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));

// Rows are counted up to a multiple of ROUND; what the last of them are does not
// matter.
enum { AT_ONCE = 4, BLOCK = LANES * AT_ONCE, ROUND = 32 };

// What a feature becomes of n values, after which there is room up to a multiple of ROUND.
TARGET static inline void put(const mr_feature *feature, float *values, size_t n, int32_t *tile) {
  const size_t end = (n + ROUND - 1) / ROUND * ROUND;
  for (size_t r = n; r < end; r++) values[r] = 0;
  for (int form = 0; form < FORMS; form++) {
    if (feature->column[form] == NONE) continue;
    int32_t *to = tile + feature->column[form] * TILE;
    const ints instead = (ints){0} + (form == NAN_HIGH ? INT32_MAX : INT32_MIN), flip = (ints){0} - (form == NEGATED);
    for (size_t r = 0; r < end; r += LANES) { // mr_key
      const floats v = *(const floats *)(values + r) + 0.0f;
      const ints nan = v != v, key = (ints)v ^ (ints)((words)((ints)v >> 31) >> 1);
      *(ints *)(to + r) = (nan & instead) | (~nan & (key ^ flip));
    }
  }
}

TARGET static void fill(const mr_forest *f, const float *x, size_t stride, size_t n, int32_t *tile) {
  _Alignas(4 * LANES) float values[TILE];
  for (uint32_t i = 0; i < f->n_features; i++) {
    const float *from = x + f->features[i].feature;
    for (size_t r = 0; r < n; r++) values[r] = from[r * stride];
    put(&f->features[i], values, n, tile);
  }
}

TARGET static void fill_columns(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile) {
  _Alignas(4 * LANES) float values[TILE];
  mr_seek(c, p, row);
  for (uint32_t i = 0; i < f->n_features; i++) {
    mrc_column(c, *p, f->features[i].feature, row, n, values);
    put(&f->features[i], values, n, tile);
  }
}

// The first leaf that is left in each row's mask, which must not be empty.
TARGET static inline ints first_leaf(ints mask) {
  // As a float, the highest bit is the exponent: no bit right behind it may be
  // left that would round it up.
  words m = (words)mask;
  ints kept = (ints)(m & ~(m >> 8));
  ints exponent = (ints)((words)__builtin_convertvector(kept, floats) >> 23);
  ints leaf = 158 - exponent;
  return leaf & (mask >= 0); // negative: the highest bit itself
}

TARGET static void numbers(const mr_tree *t, size_t n, const int32_t *tile, uint32_t *leaf) {
  for (size_t block = 0; block < n; block += BLOCK) {
    const int32_t *rows = tile + block;
    ints number[AT_ONCE] = {0};
    const mr_entry *end = t->entries;
    for (uint32_t w = 0; w < t->words; w++) end += t->counts[w];
    // From the last word to the first, so that the first leaf that is left stays.
    for (uint32_t w = t->words; w-- > 0;) {
      ints left[AT_ONCE];
      const mr_entry *e = end -= t->counts[w];
      for (int b = 0; b < AT_ONCE; b++) left[b] = (ints){0} - 1;
      for (uint32_t i = 0; i < t->counts[w]; i++) {
        const ints bound = (ints){0} + e[i].bound, keep = (ints){0} + (int32_t)e[i].keep;
        const ints *column = (const ints *)(rows + e[i].column);
        for (int b = 0; b < AT_ONCE; b++) left[b] &= (column[b] < bound) | keep;
      }
      for (int b = 0; b < AT_ONCE; b++) {
        ints some = left[b] != 0;
        number[b] = (some & (first_leaf(left[b]) + (int32_t)(w * WORD))) | (~some & number[b]);
      }
    }
    for (int b = 0; b < AT_ONCE; b++) *(ints *)(leaf + block + b * LANES) = number[b];
  }
}

TARGET static void score(const mr_forest *f, uint32_t first, uint32_t last, size_t n, const int32_t *tile, float *scores) {
  uint32_t leaf[TILE] __attribute__((aligned(64)));
  for (uint32_t i = first; i < last; i++) {
    const mr_tree *t = &f->trees[i];
    if (t->words)
      numbers(t, n, tile, leaf);
    else
      mr_forest_walk(t, n, tile, leaf);
    for (uint32_t k = 0; k < t->targets; k++) {
      const float *v = t->values + (size_t)k * t->stride;
      float *to = scores + t->target[k] * TILE;
      for (size_t r = 0; r < n; r++) to[r] += v[leaf[r]];
    }
  }
}
