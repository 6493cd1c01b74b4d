// NVIDIA's profiling library, CUPTI, opened when a recording is asked for: what
// devices did and when. Nothing is linked.
#ifndef MILLRACE_ORT_CUPTI_H
#define MILLRACE_ORT_CUPTI_H

#include <stddef.h>
#include <stdint.h>

#include "driver.h"

enum { MR_SPAN_COPY_IN, MR_SPAN_COPY_OUT, MR_SPAN_COPY, MR_SPAN_KERNEL, MR_SPAN_NAME = 96 };

// What a device did for a while.
typedef struct {
  uint64_t start, end; // nanoseconds on mr_cupti_start's clock
  uint64_t bytes;      // of a copy
  uint32_t device, stream;
  int kind;
  char name[MR_SPAN_NAME]; // of a kernel, as the compiler wrote it, perhaps cut off
} mr_span;

// Begins to record, with a library of this name; *now is its clock. 0 when it failed,
// as while another recording goes on.
int mr_cupti_start(const char *library, uint64_t *now, mr_error *error);
// Ends it. The spans are *n, to be freed; *dropped more could not be kept. 0 when it
// failed, and then there are none.
int mr_cupti_stop(mr_span **spans, size_t *n, uint64_t *dropped, mr_error *error);

#endif
