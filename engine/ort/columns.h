// A matrix of float32 as columns that lie where a file or a reader put them, for
// operators that make tiles of columns of it anyway. Such an operator takes, in
// place of the matrix [rows, width], a tensor of int64 that says where it is;
// models.TakeColumns lets it, and columns.go draws the layout. No file is trusted
// with one: models.Open refuses files with operators of ours, and only a session of
// ours is given such a tensor.
#ifndef MILLRACE_ORT_COLUMNS_H
#define MILLRACE_ORT_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

enum { MRC_HEAD = 4, MRC_SEGMENT = 1, MRC_COLUMN = 4 };
#define MRC_MAGIC INT64_C(0x31434c4d5243524d)

// One column's rows of a segment. Bit i of validity, from bit on, says that value i
// is there; otherwise it is fill. NULL: all are there. Values may be NULL where none is.
typedef struct {
  const float *values;
  const uint8_t *validity;
  int64_t bit;
  float fill;
  uint32_t unused;
} mr_column;

// Where a row is, to fetch it ahead; nowhere if the column has no values.
static inline uintptr_t mr_row_at(const mr_column *c, size_t row) { return (uintptr_t)c->values + row * sizeof *c->values; }

// Segments follow each other; each has rows and width columns.
typedef struct {
  int64_t rows;
  mr_column columns[];
} mr_segment;

typedef struct {
  size_t rows, width;
  size_t n_segments; // 0: no columns
  const mr_segment *segments;
} mr_columns;

static inline const mr_segment *mr_next_segment(const mr_columns *c, const mr_segment *s) {
  return (const mr_segment *)((const int64_t *)s + MRC_SEGMENT + MRC_COLUMN * c->width);
}

// A segment and its first row, for who goes from row to row: each looks on from where
// the one before was found.
typedef struct {
  const mr_segment *segment;
  size_t begin;
} mr_place;

static inline mr_place mr_first_place(const mr_columns *c) { return (mr_place){.segment = c->segments}; }

// Goes on to the segment of a row, which lies in that of *p or behind it.
static inline void mr_seek(const mr_columns *c, mr_place *p, size_t row) {
  for (; row >= p->begin + (size_t)p->segment->rows; p->segment = mr_next_segment(c, p->segment))
    p->begin += (size_t)p->segment->rows;
}

// Reads a layout of so many words; 0 when it is none. A matrix that lies as rows has
// no segments, and *matrix is where.
int mr_columns_read(const int64_t *words, size_t n, mr_columns *out, const float **matrix);

#endif
