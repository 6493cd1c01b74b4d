// Reading a layout in an attribute: words of 32 bits, of which there may be too few.
#ifndef MILLRACE_ORT_WORDS_H
#define MILLRACE_ORT_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const uint8_t *bytes;
  size_t words, at;
} reader;

static inline int words(reader *r, void *to, size_t n) {
  if (n > r->words - r->at) return 0;
  memcpy(to, r->bytes + 4 * r->at, 4 * n);
  r->at += n;
  return 1;
}

#endif
