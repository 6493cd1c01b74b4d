// Tiles of columns of columns.h, in terms of vectors of LANES rows, compiled for
// whatever TARGET has; included with both by each file that makes them.
#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <string.h>

#include "columns.h"

#define MRC_INLINE static inline __attribute__((always_inline))

// The 64 bits of a bitmap from bit at on; those from bit end on are not read.
TARGET MRC_INLINE uint64_t mrc_bits(const uint8_t *bitmap, size_t at, size_t end) {
  const size_t byte = at / 8, left = (end + 7) / 8 - byte, shift = at % 8;
  uint64_t bits = 0;
  if (left > sizeof bits) { // the most that 64 bits can lie in
    memcpy(&bits, bitmap + byte, sizeof bits);
    return shift ? bits >> shift | (uint64_t)bitmap[byte + sizeof bits] << (64 - shift) : bits;
  }
  for (size_t i = 0; i < left; i++) bits |= (uint64_t)bitmap[byte + i] << (8 * i);
  return bits >> shift;
}

typedef float mrc_floats __attribute__((vector_size(4 * LANES)));

// A vector of values, of which those without a bit, from bit at on, are fill. Vectors of
// 32 bits are at constants below 32.
TARGET MRC_INLINE mrc_floats mrc_load(const float *x, uint64_t bits, int at, float fill) {
#if LANES == 16
  return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)(bits >> at), x);
#else
  mrc_floats v;
  memcpy(&v, x, sizeof v);
#if LANES == 8
  // Each lane's bit becomes its sign, by which blendv chooses.
  const __m256i to_sign = _mm256_setr_epi32(31 - at, 30 - at, 29 - at, 28 - at, 27 - at, 26 - at, 25 - at, 24 - at);
  const __m256i sign = _mm256_sllv_epi32(_mm256_set1_epi32((int)bits), to_sign);
  return _mm256_blendv_ps(_mm256_set1_ps(fill), v, _mm256_castsi256_ps(sign));
#else
  typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
  const lanes bit = {1, 2, 4, 8};
  const lanes there = (((lanes){0} + (int32_t)(bits >> at & 0xff)) & bit) != 0;
  return (mrc_floats)((there & (lanes)v) | (~there & (lanes)((mrc_floats){0} + fill)));
#endif
#endif
}

// Copies m values, 64 at most; those without a bit become fill.
TARGET MRC_INLINE void mrc_put(const float *x, uint64_t bits, size_t m, float fill, float *y) {
  size_t i = 0;
  for (; i + LANES <= m; i += LANES) {
    const mrc_floats v = mrc_load(x + i, bits >> i, 0, fill);
    memcpy(y + i, &v, sizeof v);
  }
  for (; i < m; i++) y[i] = bits >> i & 1 ? x[i] : fill;
}

// Copies n rows of a column, from row on, of a segment of so many rows. What lies at next
// is fetched meanwhile, which is what will be read then: a tile is too short for the
// processor to see it coming.
TARGET MRC_INLINE void mrc_copy(const mr_column *c, size_t row, size_t n, size_t rows, uintptr_t next, float *y) {
  if (!c->values) {
    for (size_t i = 0; i < n; i++) y[i] = c->fill;
    return;
  }
  const float *x = c->values + row;
  const size_t from = (size_t)c->bit + row, end = (size_t)c->bit + rows;
  for (size_t i = 0; i < n; i += 64) {
    const size_t m = n - i < 64 ? n - i : 64;
    for (size_t byte = 0; byte < m * sizeof *x; byte += 64) __builtin_prefetch((const void *)(next + i * sizeof *x + byte), 0, 2);
    mrc_put(x + i, c->validity ? mrc_bits(c->validity, from + i, end) : UINT64_MAX, m, c->fill, y + i);
  }
}

// Copies n rows of column k from row on, which lies in p; next is as for mrc_copy.
TARGET MRC_INLINE void mrc_column(const mr_columns *c, mr_place p, size_t k, size_t row, size_t n, uintptr_t next, float *y) {
  for (size_t m; n; row += m, n -= m, y += m, next += m * sizeof *y) {
    mr_seek(c, &p, row);
    const size_t first = row - p.begin, rows = (size_t)p.segment->rows;
    m = rows - first < n ? rows - first : n;
    mrc_copy(&p.segment->columns[k], first, m, rows, next, y);
  }
}
