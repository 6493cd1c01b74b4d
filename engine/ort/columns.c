#include "columns.h"

// columns.go draws the layout.
int mr_columns_read(const int64_t *words, size_t n, mr_columns *out, const float **matrix) {
  if (n < MRC_HEAD || words[0] != MRC_MAGIC || words[1] < 0 || words[2] <= 0 || words[2] > 1 << 24 || words[3] < 0) return 0;
  *out = (mr_columns){.rows = (size_t)words[1], .width = (size_t)words[2], .n_segments = (size_t)words[3]};
  if (!out->n_segments) {
    *matrix = n == MRC_HEAD + 1 ? (const float *)(uintptr_t)words[MRC_HEAD] : NULL;
    return n == MRC_HEAD + 1;
  }
  const size_t size = MRC_SEGMENT + MRC_COLUMN * out->width;
  if (out->n_segments != (n - MRC_HEAD) / size || (n - MRC_HEAD) % size) return 0;
  out->segments = (const mr_segment *)(words + MRC_HEAD);
  *matrix = NULL;
  size_t rows = 0;
  const mr_segment *s = out->segments;
  for (size_t i = 0; i < out->n_segments; i++, s = mr_next_segment(out, s)) {
    if (s->rows < 0 || (size_t)s->rows > out->rows - rows) return 0;
    rows += (size_t)s->rows;
  }
  return rows == out->rows;
}
