// The layers of dense.h in terms of vectors of LANES rows, compiled for whatever
// TARGET has; included with both, with BLOCK, the most outputs that are summed at
// once, with floats, a vector, and with functions splat and mul_add by each file that
// makes them.
#include "columns_rows.h"
#include "dense.h"

typedef int32_t ints __attribute__((vector_size(4 * LANES)));

// Sums of BLOCK outputs and the MOST vectors of a tile fill the registers.
enum { MOST = 3, TILE = MOST * LANES };

#define INLINE static inline __attribute__((always_inline))
#define EACH_OF(vectors) _Pragma("GCC unroll 4") for (size_t v = 0; v < (vectors); v++)
#define EACH_VECTOR EACH_OF(SUM_VECTORS)

// Rows that are summed at once, a word of a bitmap is for as many or more; and rows of a
// column that are read before the next column's.
enum { SUM_VECTORS = 4, SUM_ROWS = SUM_VECTORS * LANES, SUM_BLOCK = 1024 };

TARGET INLINE floats load(const float *p) { return *(const floats *)p; }

TARGET INLINE floats pick(ints where, floats a, floats b) {
#if LANES == 8
  return _mm256_blendv_ps(b, a, (floats)where);
#else
  return (floats)((where & (ints)a) | (~where & (ints)b));
#endif
}

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

// The stages of affine_rows.h for vectors of column k, with the same bits.
TARGET INLINE void stages(const mr_affine *a, size_t k, floats *x, const size_t vectors) {
  for (uint32_t i = 0; i < a->n_stages; i++) {
    const mr_stage *s = &a->stages[i];
    if (s->instead) {
      const floats instead = splat(s->instead[k]), missing = splat(s->missing);
      if (s->missing != s->missing)
        EACH_OF(vectors) x[v] = pick((ints)(x[v] != x[v]), instead, x[v]);
      else
        EACH_OF(vectors) x[v] = pick((ints)(x[v] == missing), instead, x[v]);
    }
    if (s->scale) {
      const floats offset = splat(s->offset[k]), scale = splat(s->scale[k]);
      EACH_OF(vectors) x[v] = (x[v] - offset) * scale;
    }
  }
}

TARGET static void affine(const mr_affine *a, size_t columns, float *tile) {
  for (size_t k = 0; k < columns; k++, tile += TILE) stages(a, a->width ? k : 0, (floats *)tile, MOST);
}

// Vectors of n rows of a column, from row first on of a segment of so many rows; lanes
// without a row are 0. The number of vectors is a constant where it is called.
TARGET INLINE void fetch(const mr_column *c, size_t first, size_t n, size_t rows, floats *x, const size_t vectors) {
  if (n < vectors * LANES || !c->values) {
    float copy[SUM_ROWS] = {0};
    mrc_copy(c, first, n, rows, mr_row_at(c, first + n), copy);
    EACH_OF(vectors) memcpy(&x[v], copy + v * LANES, sizeof x[v]);
    return;
  }
  const float *from = c->values + first;
  if (!c->validity) {
    EACH_OF(vectors) memcpy(&x[v], from + v * LANES, sizeof x[v]);
    return;
  }
  const uint64_t bits = mrc_bits(c->validity, (size_t)c->bit + first, (size_t)c->bit + rows);
  EACH_OF(vectors) x[v] = mrc_load(from + v * LANES, bits, (int)(v * LANES), c->fill);
}

TARGET static void gather(const mr_columns *c, mr_place *p, size_t row, size_t n, float *y, size_t to) {
  mr_seek(c, p, row);
  const size_t first = row - p->begin, rows = (size_t)p->segment->rows;
  if (n < TILE || n > rows - first) {
    for (size_t k = 0; k < c->width; k++)
      mrc_column(c, *p, k, row, n, mr_row_at(&p->segment->columns[k], first + n), y + k * to);
    return;
  }
  for (size_t k = 0; k < c->width; k++, y += to) {
    const mr_column *from = &p->segment->columns[k];
    floats x[MOST];
    fetch(from, first, TILE, rows, x, MOST);
    // See mrc_copy.
    for (size_t v = 0; from->values && v < MOST; v++) __builtin_prefetch(from->values + first + TILE + v * LANES, 0, 2);
    for (size_t v = 0; v < MOST; v++) *(floats *)(y + v * LANES) = x[v];
  }
}

// Whether a chain is one stage of all that a stage may do, for NaN, which is what an Imputer
// and a Scaler behind it become: it has a loop of its own.
static int is_usual(const mr_affine *a) {
  const mr_stage *s = a->stages;
  return a->n_stages == 1 && s->instead && s->scale && s->missing != s->missing;
}

// Adds what column k is worth to n sums, of rows from row first on of a segment. Meanwhile
// what is read next, as many rows of a column, is on its way.
TARGET INLINE void add_rows(const mr_affine *a, const mr_segment *s, size_t k, size_t first, size_t n, uintptr_t next, float *sums,
                            const int usual) {
  const mr_column *c = &s->columns[k];
  const floats coefficient = splat(a->coefficients[k]);
  for (size_t i = 0; i < n; i += SUM_ROWS, next += SUM_ROWS * sizeof *sums, sums += SUM_ROWS) {
    floats x[SUM_VECTORS];
    for (size_t byte = 0; byte < SUM_ROWS * sizeof *sums; byte += 64) __builtin_prefetch((const void *)(next + byte), 0, 3);
    fetch(c, first + i, n - i < SUM_ROWS ? n - i : SUM_ROWS, (size_t)s->rows, x, SUM_VECTORS);
    if (usual) {
      const mr_stage *only = a->stages;
      const floats instead = splat(only->instead[k]), offset = splat(only->offset[k]), scale = splat(only->scale[k]);
      EACH_VECTOR x[v] = (pick((ints)(x[v] != x[v]), instead, x[v]) - offset) * scale;
    } else {
      stages(a, k, x, SUM_VECTORS);
    }
    EACH_VECTOR *(floats *)(sums + v * LANES) += x[v] * coefficient;
  }
}

// Parts in the order in which they are added, so that few are there at a time.
static const uint8_t order[PARTS] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

// Where the n rows are that are read after those of column k, of part order[i].
static uintptr_t after(const mr_affine *a, const mr_segment *s, size_t i, size_t k, size_t first, size_t n) {
  k += PARTS;
  while (k >= a->width && ++i < PARTS) k = order[i];
  return k < a->width ? mr_row_at(&s->columns[k], first) : mr_row_at(&s->columns[0], first + n);
}

// The sum of affine_rows.h for n rows, with the same bits: rows are lanes here. All rows of
// a column come before the next column's: columns of a record batch mostly lie a multiple
// of 4 KiB apart, so that the same few rows of each would compete for one set of a cache.
TARGET static void sum_block(const mr_affine *a, const mr_segment *s, size_t first, size_t n, float *y) {
  floats open[6][SUM_BLOCK / LANES];
  const size_t vectors = (n + SUM_ROWS - 1) / SUM_ROWS * SUM_VECTORS;
  const int usual = is_usual(a);
  size_t depth = 0;
  for (size_t i = 0; i < PARTS; i++) {
    float *sums = (float *)open[depth];
    memset(sums, 0, vectors * sizeof(floats));
    for (size_t k = order[i]; k < a->width; k += PARTS) {
      const uintptr_t next = after(a, s, i, k, first, n);
      if (usual)
        add_rows(a, s, k, first, n, next, sums, 1);
      else
        add_rows(a, s, k, first, n, next, sums, 0);
    }
    for (size_t done = i; done & 1; done >>= 1) {
      depth--;
      for (size_t v = 0; v < vectors; v++) open[depth][v] += open[depth + 1][v];
    }
    depth++;
  }
  for (size_t v = 0; v < vectors; v++) open[0][v] += splat(a->intercept);
  memcpy(y, open[0], n * sizeof *y);
}

TARGET static void sum(const mr_affine *a, const mr_columns *c, size_t row, size_t n, float *y) {
  mr_place p = mr_first_place(c);
  for (size_t m; n; row += m, n -= m, y += m) {
    mr_seek(c, &p, row);
    const size_t first = row - p.begin, left = (size_t)p.segment->rows - first;
    m = left < SUM_BLOCK ? left : SUM_BLOCK;
    if (m > n) m = n;
    sum_block(a, p.segment, first, m, y);
  }
}
