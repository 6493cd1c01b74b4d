// turn of dense.h, one value at a time.
TARGET static void turn(const float *x, size_t rows, size_t columns, size_t from, float *y, size_t to) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) y[c * to + r] = x[r * from + c];
}
