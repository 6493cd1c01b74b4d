// The kernels of a forest in terms of vectors of LANES integers, compiled for
// whatever TARGET has; included with both defined by each file that makes them, which
// also has
//   find    the ranks of the rows of a block of 64, less 128, so that they order as int8_t
//   above   of 256 rows, a bit for each whose rank is above a number, into 4 words
//   codes   the codes of 64 rows, by planes, of 8 bits at most
//   add     to 64 sums the values of their codes
#include "columns_rows.h"
#include "forest.h"

typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));

// Rows are counted up to a multiple of ROUND; what the last of them are does not
// matter.
enum { ROUND = 64 };

TARGET static inline void find(const mr_ranks *q, const int32_t *column, int8_t *rank);
TARGET static inline void above(const int8_t *rank, uint32_t n, uint64_t *planes);
TARGET static inline void codes(const uint8_t *const *planes, uint32_t bits, size_t at, uint8_t *code);
TARGET static inline void add(const float *values, const uint8_t *code, float *sums);

// What a feature becomes of n values, after which there is room up to a multiple of ROUND.
TARGET static inline void put(const mr_feature *feature, size_t rows, float *values, size_t n, int32_t *tile) {
  const size_t end = (n + ROUND - 1) / ROUND * ROUND;
  for (size_t r = n; r < end; r++) values[r] = 0;
  for (int form = 0; form < FORMS; form++) {
    if (feature->column[form] == NONE) continue;
    int32_t *to = tile + feature->column[form] * rows;
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
    put(&f->features[i], f->rows, values, n, tile);
  }
}

TARGET static void fill_columns(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile) {
  _Alignas(4 * LANES) float values[TILE];
  mr_seek(c, p, row);
  for (uint32_t i = 0; i < f->n_features; i++) {
    mrc_column(c, *p, f->features[i].feature, row, n, mr_forest_after(f, p, i, row, n), values);
    put(&f->features[i], f->rows, values, n, tile);
  }
}

// The planes of a group's questions, for n rows.
TARGET static void ask(const mr_group *g, size_t n, const int32_t *tile, uint64_t *planes) {
  _Alignas(64) int8_t rank[TILE];
  enum { WORDS = PLANE / 8, AT_ONCE = 256 };
  for (uint32_t i = 0; i < g->n_ranks; i++) {
    const mr_ranks *q = &g->ranks[i];
    for (size_t r = 0; r < n; r += ROUND) find(q, tile + q->column + r, rank + r);
    for (size_t r = 0; r < n; r += AT_ONCE) above(rank + r, q->n, planes + q->first * WORDS + r / 64);
  }
}

// Takes steps on the planes of so many vectors.
TARGET static inline __attribute__((always_inline)) void steps_of(const mr_step *s, uint32_t n, uint8_t *planes,
                                                                 size_t vectors) {
  for (const mr_step *end = s + n; s < end; s++) {
    const words *test = (const words *)(planes + s->test * PLANE), *passed = (const words *)(planes + s->passed * PLANE);
    const words *failed = (const words *)(planes + s->failed * PLANE);
    words *to = (words *)(planes + s->to * PLANE);
    for (size_t v = 0; v < vectors; v++) to[v] = passed[v] ^ (test[v] & (passed[v] ^ failed[v]));
  }
}

TARGET static void steps(const mr_step *s, uint32_t n, uint8_t *planes, size_t rows) {
  enum { ALL = PLANE / sizeof(words) };
  const size_t vectors = (rows + 8 * sizeof(words) - 1) / (8 * sizeof(words));
  if (vectors == ALL)
    steps_of(s, n, planes, ALL);
  else
    steps_of(s, n, planes, vectors);
}

// The codes of the rows of a tree, of 8 bits at most each: the lower of its bits, or those
// from bit 8 on.
TARGET static void codes_of(const mr_tree *t, const uint8_t *planes, size_t n, uint32_t from, uint8_t *code) {
  const uint8_t *of[8];
  const uint32_t bits = t->bits - from < 8 ? t->bits - from : 8;
  for (uint32_t b = 0; b < bits; b++) of[b] = planes + t->plane[from + b] * PLANE;
  for (size_t r = 0; r < n; r += ROUND) codes(of, bits, r / 8, code + r);
}

TARGET static void score(const mr_forest *f, const mr_group *g, size_t n, const int32_t *tile, void *planes, float *scores) {
  _Alignas(64) uint32_t leaf[TILE];
  _Alignas(64) uint8_t low[TILE], high[TILE];
  const int few = n < FEW_ROWS;
  if (!few) {
    memset((uint8_t *)planes + ZEROS * PLANE, 0, PLANE);
    memset((uint8_t *)planes + ONES * PLANE, 0xff, PLANE);
    ask(g, n, tile, planes);
    steps(g->steps, g->n_steps, planes, n);
  }
  for (uint32_t i = g->first; i < g->last; i++) {
    const mr_tree *t = &f->trees[i];
    const int planned = t->planned && !few, bytes = planned && t->bits <= 8;
    const float *v = planned ? t->coded : t->values;
    const size_t places = planned ? (size_t)1 << t->bits : t->leaves;
    if (planned) {
      steps(t->steps, t->n_steps, planes, n);
      codes_of(t, planes, n, 0, low);
      if (!bytes) codes_of(t, planes, n, 8, high);
      for (size_t r = 0; !bytes && r < n; r++) leaf[r] = low[r] | (uint32_t)high[r] << 8;
    } else {
      mr_forest_walk(t, n, tile, leaf);
    }
    for (uint32_t k = 0; k < t->targets; k++, v += places) {
      float *to = scores + t->target[k] * TILE;
      for (size_t r = 0; bytes && r < n; r += ROUND) add(v, low + r, to + r);
      for (size_t r = 0; !bytes && r < n; r++) to[r] += v[leaf[r]];
    }
  }
}
