// Chains of Imputer and Scaler as one pass over a matrix, and the sum that a
// LinearRegressor makes of it.
#ifndef MILLRACE_ORT_AFFINE_H
#define MILLRACE_ORT_AFFINE_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"

// What one stage does to a value: first replace it if it is the missing one,
// then move and scale it. Either part may be left out: a NULL.
typedef struct {
  float missing;      // NaN: any NaN
  const float *instead; // [period]
  const float *offset, *scale; // [period]
} mr_stage;

// Parameters repeat every width values, one row; they are stored for a period
// of whole rows that is, where that is not too long, whole vectors of any size.
typedef struct {
  size_t width, period; // width 0: every column has the same parameters
  uint32_t n_stages;
  const mr_stage *stages;
  const float *coefficients; // [width]; NULL: no sum
  float intercept;
  void *memory;
} mr_affine;

// A sum is made in this many parts: part i is the sum, from first to last, of
// the products of columns i, i + PARTS, i + 2 PARTS ...; then parts are added in
// pairs half of their number apart. So every level gives the same bits.
enum { PARTS = 16 };

typedef struct {
  void (*stage)(const mr_affine *a, const mr_stage *s, const float *x, size_t n, float *y);
  void (*sum)(const mr_affine *a, const float *x, size_t rows, float *y);
} mr_affine_kernel;

extern const mr_affine_kernel mr_affine_plain, mr_affine_avx2, mr_affine_avx512;

// Reads what models.chain.encode wrote; NULL when it is not that, or there is no
// memory. The bytes are not needed afterwards.
mr_affine *mr_affine_read(const uint8_t *bytes, size_t size);
void mr_affine_free(mr_affine *a);

// An error when x has not the columns that parameters are for; dims are those of
// a sum.
OrtStatus *mr_affine_shape(const OrtApi *api, const mr_matrix *x, size_t width);
OrtStatus *mr_linear_shape(const OrtApi *api, const mr_matrix *x, size_t width, int64_t dims[2]);

#endif
