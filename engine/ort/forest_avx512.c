#include "forest.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512dq,avx512cd,avx512bw,avx512vl,avx2")))
#define TARGET AVX512
#define LANES 16
#include "columns_rows.h"
#include "turn_avx512.h"

AVX512 static inline void put(const mr_feature *f, size_t rows, __m512 v, int32_t *tile) {
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  __m512i bits = _mm512_castps_si512(_mm512_add_ps(v, _mm512_setzero_ps()));
  __m512i key = _mm512_xor_si512(bits, _mm512_srli_epi32(_mm512_srai_epi32(bits, 31), 1));
  const __m512i low = _mm512_set1_epi32(INT32_MIN), high = _mm512_set1_epi32(INT32_MAX);
  if (f->column[NAN_HIGH] != NONE)
    _mm512_store_si512(tile + f->column[NAN_HIGH] * rows, _mm512_mask_mov_epi32(key, nan, high));
  if (f->column[NAN_LOW] != NONE)
    _mm512_store_si512(tile + f->column[NAN_LOW] * rows, _mm512_mask_mov_epi32(key, nan, low));
  if (f->column[NEGATED] != NONE)
    _mm512_store_si512(tile + f->column[NEGATED] * rows,
                       _mm512_mask_mov_epi32(_mm512_xor_si512(key, _mm512_set1_epi32(-1)), nan, low));
}

AVX512 static void fill(const mr_forest *f, const float *x, size_t stride, size_t n, int32_t *tile) {
  for (size_t block = 0; block < n; block += LANES) {
    size_t rows = n - block < LANES ? n - block : LANES;
    for (uint32_t i = 0; i < f->n_features;) {
      size_t first = f->features[i].feature / LANES * LANES;
      size_t wide = stride - first < LANES ? stride - first : LANES;
      __mmask16 there = (__mmask16)((1u << wide) - 1);
      __m512 r[16];
      for (size_t k = 0; k < 16; k++)
        r[k] = k < rows ? _mm512_maskz_loadu_ps(there, x + (block + k) * stride + first) : _mm512_setzero_ps();
      transpose(r);
      for (; i < f->n_features && f->features[i].feature < first + LANES; i++)
        put(&f->features[i], f->rows, r[f->features[i].feature - first], tile + block);
    }
  }
}

AVX512 static void fill_columns(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile) {
  mr_seek(c, p, row);
  _Alignas(64) float values[TILE];
  for (size_t r = n; r < (n + LANES - 1) / LANES * LANES; r++) values[r] = 0;
  for (uint32_t i = 0; i < f->n_features; i++) {
    mrc_column(c, *p, f->features[i].feature, row, n, mr_forest_after(f, p, i, row, n), values);
    for (size_t r = 0; r < n; r += LANES) put(&f->features[i], f->rows, _mm512_load_ps(values + r), tile + r);
  }
}

// Of the pivots of a level that of each part: 32 at a time, among which the bits above the
// lowest five choose.
AVX512 static inline __attribute__((always_inline)) __m512i pivots_of(const int32_t *pivots, const int LEVEL, __m512i part) {
  if (LEVEL <= 4) return _mm512_permutexvar_epi32(part, _mm512_loadu_si512(pivots));
  __m512i of[4];
#pragma GCC unroll 4
  for (int i = 0; i < 1 << (LEVEL - 5); i++)
    of[i] = _mm512_permutex2var_epi32(_mm512_loadu_si512(pivots + 32 * i), part, _mm512_loadu_si512(pivots + 32 * i + 16));
#pragma GCC unroll 2
  for (int l = 6; l <= LEVEL; l++) {
    const __mmask16 upper = _mm512_test_epi32_mask(part, _mm512_set1_epi32(1 << (l - 1)));
#pragma GCC unroll 2
    for (int i = 0; i < 1 << (LEVEL - l); i++) of[i] = _mm512_mask_mov_epi32(of[2 * i], upper, of[2 * i + 1]);
  }
  return of[0];
}

// The ranks of n rows among the bounds of a column.
AVX512 static inline __attribute__((always_inline)) void find_of(const mr_ranks *q, const int32_t *column, size_t n,
                                                                uint8_t *rank, const int LEVELS) {
  const __m512i one = _mm512_set1_epi32(1);
  for (size_t r = 0; r < n; r += LANES) {
    const __m512i key = _mm512_load_si512(column + r);
    __m512i part = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int l = 0; l < LEVELS; l++) {
      const __mmask16 more = _mm512_cmpgt_epi32_mask(key, pivots_of(q->pivots + (1 << l) - 1, l, part));
      part = _mm512_add_epi32(part, part);
      part = _mm512_mask_add_epi32(part, more, part, one);
    }
    _mm_store_si128((__m128i *)(rank + r), _mm512_cvtepi32_epi8(part));
  }
}

AVX512 static void find(const mr_ranks *q, const int32_t *column, size_t n, uint8_t *rank) {
  switch (q->levels) {
    case 1: find_of(q, column, n, rank, 1); return;
    case 2: find_of(q, column, n, rank, 2); return;
    case 3: find_of(q, column, n, rank, 3); return;
    case 4: find_of(q, column, n, rank, 4); return;
    case 5: find_of(q, column, n, rank, 5); return;
    case 6: find_of(q, column, n, rank, 6); return;
    case 7: find_of(q, column, n, rank, 7); return;
    default: find_of(q, column, n, rank, 8); return;
  }
}

enum { WORDS = PLANE / 8, VECTOR = 64, AT_ONCE = 8 };

// The planes of n bounds, of so many vectors of rows.
AVX512 static inline __attribute__((always_inline)) void above(const uint8_t *rank, uint32_t n, uint64_t *planes,
                                                              const int VECTORS) {
  __m512i x[AT_ONCE];
  for (int i = 0; i < VECTORS; i++) x[i] = _mm512_load_si512(rank + i * VECTOR);
  for (uint32_t i = 0; i < n; i++, planes += WORDS) {
    const __m512i bound = _mm512_set1_epi8((char)i);
    for (int w = 0; w < VECTORS; w++) planes[w] = _mm512_cmpgt_epu8_mask(x[w], bound);
  }
}

// The planes of a group's questions, for n rows.
AVX512 static void ask(const mr_group *g, size_t n, const int32_t *tile, uint64_t *planes) {
  _Alignas(64) uint8_t rank[TILE];
  for (uint32_t i = 0; i < g->n_ranks; i++) {
    const mr_ranks *q = &g->ranks[i];
    find(q, tile + q->column, n, rank);
    for (size_t r = 0; r < n; r += AT_ONCE * VECTOR) {
      uint64_t *to = planes + q->first * WORDS + r / VECTOR;
      if (n - r <= VECTOR)
        above(rank + r, q->n, to, 1);
      else
        above(rank + r, q->n, to, AT_ONCE);
    }
  }
}

// Takes steps on the planes of so many vectors.
AVX512 static inline __attribute__((always_inline)) void steps_of(const mr_step *s, uint32_t n, uint8_t *planes,
                                                                 size_t vectors) {
  for (const mr_step *end = s + n; s < end; s++) {
    const uint8_t *test = planes + s->test * PLANE, *passed = planes + s->passed * PLANE, *failed = planes + s->failed * PLANE;
    uint8_t *to = planes + s->to * PLANE;
    for (size_t v = 0; v < vectors * VECTOR; v += VECTOR)
      _mm512_store_si512(to + v, _mm512_ternarylogic_epi64(_mm512_load_si512(test + v), _mm512_load_si512(failed + v),
                                                           _mm512_load_si512(passed + v), 0xca)); // test ? failed : passed
  }
}

AVX512 static void steps(const mr_step *s, uint32_t n, uint8_t *planes, size_t rows) {
  const size_t vectors = (rows + 8 * VECTOR - 1) / (8 * VECTOR);
  if (vectors == PLANE / VECTOR)
    steps_of(s, n, planes, PLANE / VECTOR);
  else
    steps_of(s, n, planes, vectors);
}

// The lowest bits of the codes of 64 rows, as bytes.
AVX512 static inline __attribute__((always_inline)) __m512i codes(const uint64_t *const *planes, uint32_t bits, size_t w) {
  __m512i code = _mm512_setzero_si512();
  for (uint32_t b = 0; b < bits; b++)
    code = _mm512_mask_add_epi8(code, planes[b][w], code, _mm512_set1_epi8((char)(1 << b)));
  return code;
}

static inline uint16_t rows_of(const uint64_t *plane, size_t r) { return (uint16_t)(plane[r / 64] >> (r % 64)); }

// Adds the values of a tree to the scores of one target; its codes have at most 5, 6 or 7
// bits: 32 values are looked up at once, and the bits above choose among such.
AVX512 static inline __attribute__((always_inline)) void values_of(const uint64_t *const *planes, const float *coded, size_t n,
                                                                  float *scores, const int BITS) {
  __m512 table[8];
  for (int i = 0; i < 1 << (BITS - 4); i++) table[i] = _mm512_loadu_ps(coded + i * LANES);
  for (size_t r = 0; r < n; r += 64) {
    const __m512i code = codes(planes, 5, r / 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const __m512i c = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(code, i));
      __m512 v = _mm512_permutex2var_ps(table[0], c, table[1]);
      if (BITS >= 6) {
        const __mmask16 sixth = rows_of(planes[5], r + i * LANES);
        v = _mm512_mask_mov_ps(v, sixth, _mm512_permutex2var_ps(table[2], c, table[3]));
        if (BITS >= 7) {
          const __m512 low = _mm512_permutex2var_ps(table[4], c, table[5]), high = _mm512_permutex2var_ps(table[6], c, table[7]);
          v = _mm512_mask_mov_ps(v, rows_of(planes[6], r + i * LANES), _mm512_mask_mov_ps(low, sixth, high));
        }
      }
      float *to = scores + r + i * LANES;
      _mm512_store_ps(to, _mm512_add_ps(_mm512_load_ps(to), v));
    }
  }
}

// The number of each row's leaf among values that have a place for each code.
AVX512 static void leaves(const uint64_t *const *planes, uint32_t bits, size_t n, uint32_t *leaf) {
  const uint32_t low = bits < 8 ? bits : 8;
  for (size_t r = 0; r < n; r += 64) {
    const __m512i code = codes(planes, low, r / 64), more = codes(planes + low, bits - low, r / 64);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const __m512i c = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(code, i));
      const __m512i m = _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(more, i));
      _mm512_store_si512(leaf + r + i * LANES, _mm512_or_si512(c, _mm512_slli_epi32(m, 8)));
    }
  }
}

AVX512 static inline __attribute__((always_inline)) void add_values(const uint64_t *const *planes, uint32_t bits,
                                                                    const float *coded, size_t n, float *scores) {
  if (bits <= 5)
    values_of(planes, coded, n, scores, 5);
  else if (bits == 6)
    values_of(planes, coded, n, scores, 6);
  else
    values_of(planes, coded, n, scores, 7);
}

// Adds the values of leaves to scores.
AVX512 static void add_leaves(const uint32_t *leaf, const float *values, size_t n, float *scores) {
  for (size_t r = 0; r < n; r += LANES) {
    const __mmask16 there = n - r < LANES ? (__mmask16)((1u << (n - r)) - 1) : 0xffff;
    const __m512i at = _mm512_maskz_loadu_epi32(there, leaf + r);
    const __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), there, at, values, 4);
    _mm512_store_ps(scores + r, _mm512_add_ps(_mm512_load_ps(scores + r), v));
  }
}

AVX512 static void score(const mr_forest *f, const mr_group *g, size_t n, const int32_t *tile, void *planes, float *scores) {
  _Alignas(64) uint32_t leaf[TILE];
  const int few = n < FEW_ROWS;
  if (!few) {
    memset((uint8_t *)planes + ZEROS * PLANE, 0, PLANE);
    memset((uint8_t *)planes + ONES * PLANE, 0xff, PLANE);
    ask(g, n, tile, planes);
    steps(g->steps, g->n_steps, planes, n);
  }
  for (uint32_t i = g->first; i < g->last; i++) {
    const mr_tree *t = &f->trees[i];
    if (few || !t->planned) {
      mr_forest_walk(t, n, tile, leaf);
      for (uint32_t k = 0; k < t->targets; k++)
        add_leaves(leaf, t->values + (size_t)k * t->leaves, n, scores + t->target[k] * TILE);
      continue;
    }
    const uint64_t *plane[MOST_BITS];
    for (uint32_t b = 0; b < MOST_BITS; b++)
      plane[b] = (const uint64_t *)((const uint8_t *)planes + (b < t->bits ? t->plane[b] : ZEROS) * PLANE);
    steps(t->steps, t->n_steps, planes, n);
    if (t->bits > 7) leaves(plane, t->bits, n, leaf);
    for (uint32_t k = 0; k < t->targets; k++) {
      const float *v = t->coded + ((size_t)k << t->bits);
      float *to = scores + t->target[k] * TILE;
      if (t->bits > 7)
        add_leaves(leaf, v, n, to);
      else
        add_values(plane, t->bits, v, n, to);
    }
  }
}

const mr_forest_kernel mr_forest_avx512 = {fill, fill_columns, score};

#else

typedef int nothing_here;

#endif
