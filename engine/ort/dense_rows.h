// The layers of dense.h in terms of vectors of LANES rows, compiled for whatever
// TARGET has; included with both, with BLOCK, the most outputs that are summed at
// once, with floats, a vector, and with functions splat and mul_add by each file that
// makes them.
#include "dense.h"

typedef int32_t ints __attribute__((vector_size(4 * LANES)));

// Sums of BLOCK outputs and the MOST vectors of a tile fill the registers.
enum { MOST = 3, TILE = MOST * LANES };

#define INLINE static inline __attribute__((always_inline))

TARGET INLINE floats load(const float *p) { return *(const floats *)p; }

TARGET INLINE floats pick(ints where, floats a, floats b) { return (floats)((where & (ints)a) | (~where & (ints)b)); }

// A comparison with NaN is false, which then keeps it.
TARGET INLINE floats activate(const mr_layer *l, floats v) {
  switch (l->activation) {
    case MR_RELU: return pick((ints)(splat(0) > v), splat(0), v);
    case MR_LEAKY_RELU: return pick((ints)(splat(0) > v), v * splat(l->low), v);
    case MR_CLIP:
      v = pick((ints)(splat(l->low) > v), splat(l->low), v);
      return pick((ints)(splat(l->high) < v), splat(l->high), v);
    default: return v;
  }
}

// Sums outputs n to n + wide for vectors of rows; both are constants where it is
// called, and all sums stay in registers.
TARGET INLINE void block(const mr_layer *l, size_t n, const float *in, float *out, const size_t wide, const size_t vectors) {
  const float *w = l->weights + n * l->inputs;
  floats sum[BLOCK][MOST];
  for (size_t c = 0; c < wide; c++)
    for (size_t v = 0; v < vectors; v++) sum[c][v] = splat(l->bias[n + c]);
  for (size_t k = 0; k < l->inputs; k++, in += TILE, w += wide) {
    floats x[MOST];
    for (size_t v = 0; v < vectors; v++) x[v] = load(in + v * LANES);
    for (size_t c = 0; c < wide; c++) {
      const floats weight = splat(w[c]);
      for (size_t v = 0; v < vectors; v++) sum[c][v] = mul_add(x[v], weight, sum[c][v]);
    }
  }
  out += n * TILE;
  for (size_t c = 0; c < wide; c++)
    for (size_t v = 0; v < vectors; v++) *(floats *)(out + c * TILE + v * LANES) = activate(l, sum[c][v]);
}

TARGET INLINE void blocks(const mr_layer *l, const float *in, float *out, const size_t vectors) {
  for (size_t n = 0, wide; n < l->outputs; n += wide) switch (wide = mr_dense_block(BLOCK, l->outputs - n)) {
#if BLOCK == 8
      case 8: block(l, n, in, out, 8, vectors); break;
#endif
      case 4: block(l, n, in, out, 4, vectors); break;
      case 2: block(l, n, in, out, 2, vectors); break;
      default: block(l, n, in, out, 1, vectors);
    }
}

TARGET static void layer(const mr_layer *l, const float *in, size_t rows, float *out) {
  switch ((rows + LANES - 1) / LANES) {
    case 1: blocks(l, in, out, 1); break;
    case 2: blocks(l, in, out, 2); break;
    default: blocks(l, in, out, MOST);
  }
}

// The stage of affine_rows.h for column k, with the same bits.
TARGET INLINE floats stage(const mr_stage *s, size_t k, floats v) {
  if (s->instead) {
    const int any_nan = s->missing != s->missing;
    const ints gone = any_nan ? (ints)(v != v) : (ints)(v == splat(s->missing));
    v = pick(gone, splat(s->instead[k]), v);
  }
  if (s->scale) v = (v - splat(s->offset[k])) * splat(s->scale[k]);
  return v;
}

TARGET static void affine(const mr_affine *a, size_t columns, size_t rows, float *tile) {
  for (size_t k = 0; k < columns; k++, tile += TILE)
    for (uint32_t i = 0; i < a->n_stages; i++)
      for (size_t r = 0; r < rows; r += LANES) {
        floats *v = (floats *)(tile + r);
        *v = stage(&a->stages[i], a->width ? k : 0, *v);
      }
}
