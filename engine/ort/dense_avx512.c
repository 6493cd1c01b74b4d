#ifdef __x86_64__

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#define LANES 16
#define BLOCK 8

typedef __m512 floats;

TARGET static inline floats splat(float v) { return _mm512_set1_ps(v); }
TARGET static inline floats mul_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }

#include "dense_rows.h"
#include "turn_avx512.h"

// The first so many lanes of a vector.
static inline uint16_t lanes(size_t n) { return (uint16_t)(n < LANES ? (1u << n) - 1 : 0xffff); }

TARGET static void turn(const float *x, size_t rows, size_t columns, size_t from, float *y, size_t to) {
  for (size_t r = 0; r < rows; r += LANES) {
    const size_t high = rows - r < LANES ? rows - r : LANES;
    for (size_t c = 0; c < columns; c += LANES) {
      const size_t wide = columns - c < LANES ? columns - c : LANES;
      __m512 v[LANES];
      for (size_t i = 0; i < LANES; i++)
        v[i] = i < high ? _mm512_maskz_loadu_ps(lanes(wide), x + (r + i) * from + c) : _mm512_setzero_ps();
      transpose(v);
      for (size_t i = 0; i < wide; i++) _mm512_mask_storeu_ps(y + (c + i) * to + r, lanes(high), v[i]);
    }
  }
}

const mr_dense_kernel mr_dense_avx512 = {TILE, BLOCK, turn, gather, affine, layer, sum};

#else

typedef int nothing_here;

#endif
