#ifdef __x86_64__

#define TARGET __attribute__((target("avx2")))
#define LANES 8
#include "forest_rows.h"

// Of the pivots of a level that of each part: eight at a time, among which the bits above
// the lowest three choose.
TARGET static inline __attribute__((always_inline)) __m256i pivots_of(const int32_t *pivots, const int LEVEL, __m256i part) {
  __m256 of[16];
  const int vectors = LEVEL <= 3 ? 1 : 1 << (LEVEL - 3);
#pragma GCC unroll 16
  for (int i = 0; i < vectors; i++)
    of[i] = _mm256_permutevar8x32_ps(_mm256_loadu_ps((const float *)pivots + i * LANES), part);
#pragma GCC unroll 4
  for (int l = 4; l <= LEVEL; l++) {
    const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(part, 32 - l)); // its bit as the sign
#pragma GCC unroll 8
    for (int i = 0; i < 1 << (LEVEL - l); i++) of[i] = _mm256_blendv_ps(of[2 * i], of[2 * i + 1], upper);
  }
  return _mm256_castps_si256(of[0]);
}

TARGET static inline __attribute__((always_inline)) void find_of(const mr_ranks *q, const int32_t *column, int8_t *rank,
                                                                const int LEVELS) {
  for (size_t r = 0; r < ROUND; r += 4 * LANES) {
    __m256i part[4];
    for (int b = 0; b < 4; b++) {
      const __m256i key = _mm256_load_si256((const __m256i *)(column + r + b * LANES));
      __m256i p = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int l = 0; l < LEVELS; l++) {
        const __m256i more = _mm256_cmpgt_epi32(key, pivots_of(q->pivots + (1 << l) - 1, l, p));
        p = _mm256_sub_epi32(_mm256_add_epi32(p, p), more);
      }
      part[b] = p;
    }
    // Packing takes four rows of each in turn.
    const __m256i low = _mm256_packs_epi32(part[0], part[1]), high = _mm256_packs_epi32(part[2], part[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i all = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_store_si256((__m256i *)(rank + r), _mm256_xor_si256(all, _mm256_set1_epi8(-128)));
  }
}

TARGET static inline void find(const mr_ranks *q, const int32_t *column, int8_t *rank) {
  switch (q->levels) {
    case 1: find_of(q, column, rank, 1); return;
    case 2: find_of(q, column, rank, 2); return;
    case 3: find_of(q, column, rank, 3); return;
    case 4: find_of(q, column, rank, 4); return;
    case 5: find_of(q, column, rank, 5); return;
    case 6: find_of(q, column, rank, 6); return;
    case 7: find_of(q, column, rank, 7); return;
    default: find_of(q, column, rank, 8); return;
  }
}

TARGET static inline void above(const int8_t *rank, uint32_t n, uint64_t *planes) {
  __m256i x[8];
  for (int i = 0; i < 8; i++) x[i] = _mm256_load_si256((const __m256i *)(rank + 32 * i));
  for (uint32_t i = 0; i < n; i++, planes += PLANE / 8) {
    const __m256i bound = _mm256_set1_epi8((char)(i - 128));
    for (int w = 0; w < 8; w++) {
      const int rows = _mm256_movemask_epi8(_mm256_cmpgt_epi8(x[w], bound));
      memcpy((char *)planes + 4 * w, &rows, sizeof rows);
    }
  }
}

TARGET static inline void codes(const uint8_t *const *planes, uint32_t bits, size_t at, uint8_t *code) {
  // Each byte of 32 bits, eight times, and of each the bit of its row.
  const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
  for (int half = 0; half < 2; half++) {
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t b = 0; b < bits; b++) {
      uint32_t rows;
      memcpy(&rows, planes[b] + at + 4 * half, sizeof rows);
      const __m256i there = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)rows), spread), bit);
      sum = _mm256_or_si256(sum, _mm256_and_si256(_mm256_cmpeq_epi8(there, bit), _mm256_set1_epi8((char)(1 << b))));
    }
    _mm256_store_si256((__m256i *)(code + 32 * half), sum);
  }
}

TARGET static inline void add(const float *values, const uint8_t *code, float *sums) {
  for (int r = 0; r < ROUND; r += LANES) {
    const __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(code + r)));
    _mm256_store_ps(sums + r, _mm256_add_ps(_mm256_load_ps(sums + r), _mm256_i32gather_ps(values, c, 4)));
  }
}

const mr_forest_kernel mr_forest_avx2 = {fill, fill_columns, score};

#else

typedef int nothing_here;

#endif
