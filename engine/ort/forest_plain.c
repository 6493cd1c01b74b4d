// Vectors of 16 bytes: SSE2 on x86-64, NEON on arm64, which every such
// processor has.
#define TARGET
#define LANES 4
#include "forest_rows.h"

static inline void find(const mr_ranks *q, const int32_t *column, int8_t *rank) {
  for (size_t r = 0; r < ROUND; r++) {
    uint32_t part = 0;
    for (uint32_t l = 0; l < q->levels; l++) part = 2 * part + (column[r] > q->pivots[(1u << l) - 1 + part]);
    rank[r] = (int8_t)(part - 128);
  }
}

typedef int8_t bytes __attribute__((vector_size(16)));
typedef uint64_t longs __attribute__((vector_size(16)));

// A bit of each of 8 bytes that are 0 or 1, the first byte's the lowest.
static inline uint64_t gather(uint64_t b) { return b * 0x0102040810204080u >> 56; }

static inline void above(const int8_t *rank, uint32_t n, uint64_t *planes) {
  for (uint32_t i = 0; i < n; i++, planes += PLANE / 8) {
    const bytes bound = (bytes){0} + (int8_t)(i - 128);
    for (int w = 0; w < 4; w++) {
      uint64_t word = 0;
      for (int b = 0; b < 4; b++) {
        const longs yes = (longs)((*(const bytes *)(rank + 64 * w + 16 * b) > bound) & 1);
        word |= (gather(yes[0]) | gather(yes[1]) << 8) << (16 * b);
      }
      planes[w] = word;
    }
  }
}

// Eight bytes of eight bits each, the first byte the lowest, turned.
static inline uint64_t turn(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aau;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000ccccu;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0u;
  return x ^ t ^ (t << 28);
}

static inline void codes(const uint8_t *const *planes, uint32_t bits, size_t at, uint8_t *code) {
  for (size_t i = 0; i < ROUND / 8; i++) {
    uint64_t rows = 0;
    for (uint32_t b = 0; b < bits; b++) rows |= (uint64_t)planes[b][at + i] << (8 * b);
    rows = turn(rows);
    memcpy(code + 8 * i, &rows, sizeof rows);
  }
}

static inline void add(const float *values, const uint8_t *code, float *sums) {
  for (size_t r = 0; r < ROUND; r++) sums[r] += values[code[r]];
}

const mr_forest_kernel mr_forest_plain = {fill, fill_columns, score};
