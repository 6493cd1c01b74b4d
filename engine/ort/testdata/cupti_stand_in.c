// A CUPTI for tests, made into a library by them: it tells of the same work in every
// recording, in the layouts of CUDA 13.0 (CUpti_ActivityKernel10, CUpti_ActivityMemcpy6)
// or, with NEW_LAYOUT, of 13.5. It does not share the declarations of cupti.c, which
// might be wrong. FAIL names a function that fails.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef NEW_LAYOUT
enum { KERNEL_BYTES = 248, COPY_BYTES = 112 };
#else
enum { KERNEL_BYTES = 216, COPY_BYTES = 96 };
#endif
#ifndef FAIL
#define FAIL ""
#endif
#define RESULT(name) return strcmp(FAIL, name) ? 0 : 999

static void (*request)(uint8_t **buffer, size_t *bytes, size_t *records);
static void (*complete)(void *context, uint32_t stream, uint8_t *buffer, size_t bytes, size_t valid);
static int enabled[64];

int cuptiGetResultString(int result, const char **text) {
  *text = result == 999 ? "CUPTI_ERROR_UNKNOWN" : "CUPTI_SUCCESS";
  return 0;
}

int cuptiGetTimestamp(uint64_t *now) {
  *now = 5000000;
  RESULT("cuptiGetTimestamp");
}

int cuptiActivityRegisterCallbacks(void *r, void *c) {
  request = r, complete = c;
  RESULT("cuptiActivityRegisterCallbacks");
}

int cuptiActivityEnable(int kind) {
  enabled[kind] = 1;
  RESULT(kind == 1 ? "cuptiActivityEnable" : "cuptiActivityEnable kernels");
}

int cuptiActivityDisable(int kind) {
  enabled[kind] = 0;
  RESULT("cuptiActivityDisable");
}

static void put(uint8_t *record, size_t at, uint64_t value, size_t bytes) { memcpy(record + at, &value, bytes); }

// start and end are microseconds after the recording's begin.
static size_t copy(uint8_t *record, int copy_kind, uint64_t bytes, int start, int end, int stream) {
  memset(record, 0, COPY_BYTES);
  put(record, 0, 1, 4), put(record, 4, copy_kind, 1), put(record, 8, bytes, 8);
  put(record, 16, 5000000 + 1000 * start, 8), put(record, 24, 5000000 + 1000 * end, 8);
  put(record, 32, 0, 4), put(record, 36, 1, 4), put(record, 40, stream, 4);
  return COPY_BYTES;
}

static size_t kernel(uint8_t *record, const char *name, int start, int end, int stream) {
  memset(record, 0, KERNEL_BYTES);
  put(record, 0, 10, 4);
  put(record, 16, start < 0 ? 0 : 5000000 + 1000 * start, 8), put(record, 24, 5000000 + 1000 * end, 8);
  put(record, 40, 0, 4), put(record, 44, 1, 4), put(record, 48, stream, 4), put(record, 104, (uintptr_t)name, 8);
  return KERNEL_BYTES;
}

int cuptiActivityFlushAll(uint32_t flag) {
  uint8_t *buffer;
  size_t bytes, records, n = 0;
  request(&buffer, &bytes, &records);
  if (enabled[1] || enabled[10] || flag != 1) return 1; // it would go on, or leave something behind
  n += copy(buffer + n, 1, 8388608, 100, 300, 7);
  n += kernel(buffer + n, "first", 300, 500, 7);
  n += copy(buffer + n, 1, 8388608, 300, 500, 8);
  n += kernel(buffer + n, "without a time", -1, 1, 8);
  n += kernel(buffer + n, NULL, 500, 700, 8);
  n += copy(buffer + n, 2, 262144, 500, 520, 7);
  n += copy(buffer + n, 8, 64, 690, 700, 8);
  memset(buffer + n, 0, 4); // a kind that nobody asked for
  n += COPY_BYTES;
  complete(NULL, 7, buffer, bytes, n);
  RESULT("cuptiActivityFlushAll");
}

int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, void **record) {
  uint8_t *next = buffer;
  if (*record) next = (uint8_t *)*record + (*(int32_t *)*record == 10 ? KERNEL_BYTES : COPY_BYTES);
  if (next >= buffer + valid) return 12; // CUPTI_ERROR_MAX_LIMIT_REACHED
  *record = next;
  return 0;
}

int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *dropped) {
  *dropped = context || stream != 7 ? 1000 : 3;
  return 0;
}
