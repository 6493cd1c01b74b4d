#ifdef __x86_64__

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define BLOCK 4

typedef __m256 floats;

TARGET static inline floats splat(float v) { return _mm256_set1_ps(v); }
TARGET static inline floats mul_add(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }

#include "dense_rows.h"
#include "dense_turn.h"

const mr_dense_kernel mr_dense_avx2 = {TILE, BLOCK, turn, gather, affine, layer, sum};

#else

typedef int nothing_here;

#endif
