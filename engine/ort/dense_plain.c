// Four lanes. Not so plain that it would do without fused multiply-adds: every
// arm64 has them, and where an x86-64 has none, models.UseKernels makes no chain.
#define LANES 4

#ifdef __x86_64__

#include <immintrin.h>

#define TARGET __attribute__((target("fma")))
#define BLOCK 4

typedef __m128 floats;

TARGET static inline floats splat(float v) { return _mm_set1_ps(v); }
TARGET static inline floats mul_add(floats a, floats b, floats c) { return _mm_fmadd_ps(a, b, c); }

#else

#include <arm_neon.h>

#define TARGET
#define BLOCK 8

typedef float32x4_t floats;

static inline floats splat(float v) { return vdupq_n_f32(v); }
static inline floats mul_add(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }

#endif

#include "dense_rows.h"
#include "dense_turn.h"

const mr_dense_kernel mr_dense_plain = {TILE, BLOCK, turn, gather, affine, layer, sum};
