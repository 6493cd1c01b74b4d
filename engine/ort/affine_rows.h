// The kernels of affine.h in terms of vectors of LANES floats, compiled for
// whatever TARGET has; included with both defined by each file that makes them.
#include "affine.h"

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

TARGET static inline floats load(const float *p) {
  floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

TARGET static inline void store(float *p, floats v) { __builtin_memcpy(p, &v, sizeof v); }

// As ONNX Runtime's Imputer and Scaler: a NaN is replaced if NaN is the missing
// value, and the offset is taken off before the scale.
TARGET static inline __attribute__((always_inline)) void pass(const mr_affine *a, const mr_stage *s, const float *x, size_t n,
                                                             float *y, const int replace, const int scale) {
  const int any_nan = s->missing != s->missing;
  const floats missing = (floats){0} + s->missing;
  const ints nan = (ints){0} - any_nan;
  for (size_t begin = 0; begin < n; begin += a->period) {
    const size_t m = n - begin < a->period ? n - begin : a->period;
    size_t i = 0;
    for (; i + LANES <= m; i += LANES) {
      floats v = load(x + begin + i);
      if (replace) {
        ints gone = ((ints)(v != v) & nan) | (ints)(v == missing);
        v = (floats)((gone & (ints)load(s->instead + i)) | (~gone & (ints)v));
      }
      if (scale) v = (v - load(s->offset + i)) * load(s->scale + i);
      store(y + begin + i, v);
    }
    for (; i < m; i++) {
      float v = x[begin + i];
      if (replace && ((v != v && any_nan) || v == s->missing)) v = s->instead[i];
      if (scale) v = (v - s->offset[i]) * s->scale[i];
      y[begin + i] = v;
    }
  }
}

TARGET static void stage(const mr_affine *a, const mr_stage *s, const float *x, size_t n, float *y) {
  if (s->instead && s->scale)
    pass(a, s, x, n, y, 1, 1);
  else if (s->instead)
    pass(a, s, x, n, y, 1, 0);
  else
    pass(a, s, x, n, y, 0, 1);
}

TARGET static void sum(const mr_affine *a, const float *x, size_t rows, float *y) {
  const size_t width = a->width, whole = width / PARTS * PARTS;
  const float *c = a->coefficients;
  for (size_t r = 0; r < rows; r++, x += width) {
    floats v[PARTS / LANES] = {0};
    for (size_t i = 0; i < whole; i += PARTS)
      for (size_t k = 0; k < PARTS / LANES; k++) v[k] += load(x + i + k * LANES) * load(c + i + k * LANES);
    float part[PARTS];
    __builtin_memcpy(part, v, sizeof part);
    for (size_t i = whole; i < width; i++) part[i - whole] += x[i] * c[i];
    for (size_t half = PARTS / 2; half; half /= 2)
      for (size_t i = 0; i < half; i++) part[i] += part[i + half];
    y[r] = part[0] + a->intercept;
  }
}
