#include "forest.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512dq,avx512cd,avx512bw,avx512vl,avx2")))
#define TARGET AVX512
#define LANES 16
#include "columns_rows.h"
#include "turn_avx512.h"

enum { MOST_BLOCKS = TILE / LANES };

AVX512 static inline void put(const mr_feature *f, __m512 v, int32_t *tile) {
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  __m512i bits = _mm512_castps_si512(_mm512_add_ps(v, _mm512_setzero_ps()));
  __m512i key = _mm512_xor_si512(bits, _mm512_srli_epi32(_mm512_srai_epi32(bits, 31), 1));
  const __m512i low = _mm512_set1_epi32(INT32_MIN), high = _mm512_set1_epi32(INT32_MAX);
  if (f->column[NAN_HIGH] != NONE)
    _mm512_store_si512(tile + f->column[NAN_HIGH] * TILE, _mm512_mask_mov_epi32(key, nan, high));
  if (f->column[NAN_LOW] != NONE)
    _mm512_store_si512(tile + f->column[NAN_LOW] * TILE, _mm512_mask_mov_epi32(key, nan, low));
  if (f->column[NEGATED] != NONE)
    _mm512_store_si512(tile + f->column[NEGATED] * TILE,
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
        put(&f->features[i], r[f->features[i].feature - first], tile + block);
    }
  }
}

AVX512 static void fill_columns(const mr_forest *f, const mr_columns *c, mr_place *p, size_t row, size_t n, int32_t *tile) {
  mr_seek(c, p, row);
  _Alignas(64) float values[TILE];
  for (size_t r = n; r < TILE; r++) values[r] = 0;
  for (uint32_t i = 0; i < f->n_features; i++) {
    mrc_column(c, *p, f->features[i].feature, row, n, values);
    for (size_t r = 0; r < n; r += LANES) put(&f->features[i], _mm512_load_ps(values + r), tile + r);
  }
}

#define PER_BLOCK for (int b = 0; b < BLOCKS; b++)

// The leaves that are left of a word, for BLOCKS blocks of 16 rows, as halves of
// 8: 256 bits are loaded twice in a cycle where 512 are once, and comparing into
// vectors takes more of a processor's pipes than comparing into masks (Zen 4: 374
// instead of 418 ns a row of flights_gbdt). The loop is bound by loads, so bound and
// keep are one, taken apart by shuffles. It is written out because gcc 12 puts a
// copy beside every other instruction, or loads keep again for each half.
AVX512 static inline __attribute__((always_inline)) void masks(const mr_entry *e, uint32_t count, const int32_t *tile,
                                                              __m512i *left, const int BLOCKS) {
  __m256i half[2 * MOST_BLOCKS];
  for (int h = 0; h < 2 * BLOCKS; h++) half[h] = _mm256_set1_epi32(-1);
  for (uint32_t i = 0; i < count; i++) {
    __m256i both, below;
    __asm__("vpbroadcastq %1, %0" : "=x"(both) : "m"(e[i].pair));
    const __m256i bound = _mm256_shuffle_epi32(both, 0xa0), keep = _mm256_shuffle_epi32(both, 0xf5);
    const int32_t *column = tile + e[i].column;
    for (int h = 0; h < 2 * BLOCKS; h++)
      // half &= (bound > column) | keep
      __asm__("vpcmpgtd %3, %2, %1\n\tvpternlogd $0xe0, %4, %1, %0"
              : "+v"(half[h]), "=&x"(below)
              : "x"(bound), "m"(*(const __m256i *)(column + h * 8)), "v"(keep));
  }
  PER_BLOCK left[b] = _mm512_inserti64x4(_mm512_castsi256_si512(half[2 * b]), half[2 * b + 1], 1);
}

// Adds the values of one tree of one target to the scores.
AVX512 static inline __attribute__((always_inline)) void values(const mr_tree *t, const int32_t *tile, float *scores,
                                                               const int BLOCKS) {
  __m512 value[MOST_BLOCKS];
  PER_BLOCK value[b] = _mm512_setzero_ps();
  const mr_entry *end = t->entries;
  for (uint32_t w = 0; w < t->words; w++) end += t->counts[w];
  // From the last word to the first, so that the first leaf that is left stays.
  for (uint32_t w = t->words; w-- > 0;) {
    __m512i left[MOST_BLOCKS];
    end -= t->counts[w];
    masks(end, t->counts[w], tile, left, BLOCKS);
    const __m512 low = _mm512_loadu_ps(t->values + w * WORD), high = _mm512_loadu_ps(t->values + w * WORD + LANES);
    PER_BLOCK {
      __mmask16 some = _mm512_test_epi32_mask(left[b], left[b]);
      __m512 v = _mm512_permutex2var_ps(low, _mm512_lzcnt_epi32(left[b]), high);
      value[b] = _mm512_mask_mov_ps(value[b], some, v);
    }
  }
  PER_BLOCK _mm512_storeu_ps(scores + b * LANES, _mm512_add_ps(_mm512_loadu_ps(scores + b * LANES), value[b]));
}

// The number of each row's leaf in one tree.
AVX512 static inline __attribute__((always_inline)) void numbers(const mr_tree *t, const int32_t *tile, uint32_t *leaf,
                                                                const int BLOCKS) {
  __m512i number[MOST_BLOCKS];
  PER_BLOCK number[b] = _mm512_setzero_si512();
  const mr_entry *end = t->entries;
  for (uint32_t w = 0; w < t->words; w++) end += t->counts[w];
  for (uint32_t w = t->words; w-- > 0;) {
    __m512i left[MOST_BLOCKS];
    end -= t->counts[w];
    masks(end, t->counts[w], tile, left, BLOCKS);
    PER_BLOCK {
      __mmask16 some = _mm512_test_epi32_mask(left[b], left[b]);
      __m512i first = _mm512_add_epi32(_mm512_lzcnt_epi32(left[b]), _mm512_set1_epi32((int)(w * WORD)));
      number[b] = _mm512_mask_mov_epi32(number[b], some, first);
    }
  }
  PER_BLOCK _mm512_storeu_si512(leaf + b * LANES, number[b]);
}

AVX512 static inline __attribute__((always_inline)) void trees(const mr_forest *f, uint32_t first, uint32_t last, size_t n,
                                                              const int32_t *tile, float *scores, const int BLOCKS) {
  uint32_t leaf[TILE];
  for (uint32_t i = first; i < last; i++) {
    const mr_tree *t = &f->trees[i];
    if (t->words && t->targets == 1) {
      values(t, tile, scores + t->target[0] * TILE, BLOCKS);
      continue;
    }
    if (t->words)
      numbers(t, tile, leaf, BLOCKS);
    else
      mr_forest_walk(t, n, tile, leaf);
    for (uint32_t k = 0; k < t->targets; k++) {
      const float *v = t->values + (size_t)k * t->stride;
      float *to = scores + t->target[k] * TILE;
      for (size_t r = 0; r < n; r++) to[r] += v[leaf[r]];
    }
  }
}

AVX512 static void score(const mr_forest *f, uint32_t first, uint32_t last, size_t n, const int32_t *tile, float *scores) {
  switch ((n + LANES - 1) / LANES) {
    case 1: trees(f, first, last, n, tile, scores, 1); return;
    case 2: trees(f, first, last, n, tile, scores, 2); return;
    case 3: trees(f, first, last, n, tile, scores, 3); return;
    case 4: trees(f, first, last, n, tile, scores, 4); return;
    default: trees(f, first, last, n, tile, scores, MOST_BLOCKS); return;
  }
}

const mr_forest_kernel mr_forest_avx512 = {fill, fill_columns, score};

#else

typedef int nothing_here;

#endif
