#include "cupti.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The activity API, as far as it is used: names, values and layouts are those of
// cupti_activity.h. A record begins with its kind; later versions add fields at the
// end, and those here have been where they are since CUDA 11 (CUpti_ActivityMemcpy5
// to 7, CUpti_ActivityKernel9 to 13).
enum { ACTIVITY_MEMCPY = 1, ACTIVITY_CONCURRENT_KERNEL = 10, MEMCPY_HTOD = 1, MEMCPY_DTOH = 2, FLUSH_FORCED = 1 };

typedef struct {
  int32_t kind;
  uint8_t copy_kind, from, to, flags;
  uint64_t bytes, start, end;
  uint32_t device, context, stream;
} memcpy_record;

typedef struct {
  int32_t kind;
  uint8_t before_start[12];
  uint64_t start, end, completed;
  uint32_t device, context, stream;
  uint8_t before_name[52];
  const char *name; // shared by all records of the kernel
} kernel_record;

_Static_assert(offsetof(memcpy_record, bytes) == 8 && offsetof(memcpy_record, stream) == 40, "as CUPTI has it");
_Static_assert(offsetof(kernel_record, start) == 16 && offsetof(kernel_record, device) == 40, "as CUPTI has it");
_Static_assert(offsetof(kernel_record, stream) == 48 && offsetof(kernel_record, name) == 104, "as CUPTI has it");

typedef void (*request_buffer)(uint8_t **buffer, size_t *bytes, size_t *most_records);
typedef void (*complete_buffer)(void *context, uint32_t stream, uint8_t *buffer, size_t bytes, size_t valid);

// F(function, symbol in the library, arguments): results are 0 or an error.
#define CUPTI_FUNCTIONS(F)                                                                            \
  F(result_string, "cuptiGetResultString", (int result, const char **text))                           \
  F(timestamp, "cuptiGetTimestamp", (uint64_t * now))                                                 \
  F(callbacks, "cuptiActivityRegisterCallbacks", (request_buffer request, complete_buffer complete))  \
  F(enable, "cuptiActivityEnable", (int kind))                                                        \
  F(disable, "cuptiActivityDisable", (int kind))                                                      \
  F(flush, "cuptiActivityFlushAll", (uint32_t flag))                                                  \
  F(next_record, "cuptiActivityGetNextRecord", (uint8_t * buffer, size_t valid, void **record))       \
  F(dropped_records, "cuptiActivityGetNumDroppedRecords", (void *context, uint32_t stream, size_t *dropped))

// MOST_SPANS bounds memory to 71 MB: a run of minutes is not looked at as a picture.
enum { BUFFER_BYTES = 1 << 20, MOST_SPANS = 1 << 19 };

static struct {
  pthread_mutex_t mu; // of what follows the functions
#define FIELD(name, symbol, arguments) int(*name) arguments;
  CUPTI_FUNCTIONS(FIELD)
#undef FIELD
  int recording;
  mr_span *spans;
  size_t n, room;
  uint64_t dropped;
} cupti = {.mu = PTHREAD_MUTEX_INITIALIZER};

static int failed(mr_error *error, const char *what, int result) {
  const char *text = NULL;
  cupti.result_string(result, &text);
  snprintf(error->text, sizeof error->text, "CUPTI: %s: %s (%d)", what, text ? text : "unknown error", result);
  return 0;
}

static void request(uint8_t **buffer, size_t *bytes, size_t *most_records) {
  *buffer = malloc(BUFFER_BYTES); // aligned to 16, where CUPTI wants 8; NULL has it drop records
  *bytes = *buffer ? BUFFER_BYTES : 0;
  *most_records = 0; // as many as fit
}

// Room for one more span, or NULL. The lock is held.
static mr_span *more(void) {
  if (cupti.n == cupti.room && cupti.room < MOST_SPANS) {
    size_t room = cupti.room ? 2 * cupti.room : 4096;
    mr_span *spans = realloc(cupti.spans, room * sizeof *spans);
    if (spans) cupti.spans = spans, cupti.room = room;
  }
  if (cupti.n < cupti.room) return memset(&cupti.spans[cupti.n++], 0, sizeof *cupti.spans);
  cupti.dropped++;
  return NULL;
}

static void keep(const void *record) {
  const memcpy_record *copy = record;
  const kernel_record *kernel = record;
  mr_span *s;
  switch (*(const int32_t *)record) {
  case ACTIVITY_MEMCPY:
    if (!(s = more())) return;
    s->kind = copy->copy_kind == MEMCPY_HTOD   ? MR_SPAN_COPY_IN
              : copy->copy_kind == MEMCPY_DTOH ? MR_SPAN_COPY_OUT
                                               : MR_SPAN_COPY;
    s->start = copy->start, s->end = copy->end, s->bytes = copy->bytes;
    s->device = copy->device, s->stream = copy->stream;
    break;
  case ACTIVITY_CONCURRENT_KERNEL:
    if (!kernel->start || !(s = more())) return; // CUPTI had no room for its times
    s->kind = MR_SPAN_KERNEL;
    s->start = kernel->start, s->end = kernel->end;
    s->device = kernel->device, s->stream = kernel->stream;
    snprintf(s->name, sizeof s->name, "%s", kernel->name ? kernel->name : "");
  }
}

static void complete(void *context, uint32_t stream, uint8_t *buffer, size_t bytes, size_t valid) {
  void *record = NULL;
  size_t dropped = 0;
  (void)bytes;
  pthread_mutex_lock(&cupti.mu);
  while (valid && cupti.next_record(buffer, valid, &record) == 0) keep(record);
  if (cupti.dropped_records(context, stream, &dropped) == 0) cupti.dropped += dropped;
  pthread_mutex_unlock(&cupti.mu);
  free(buffer);
}

static int load(const char *name, mr_error *error) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL); // stays loaded
  if (!library) {
    snprintf(error->text, sizeof error->text, "%s", dlerror());
    return 0;
  }
#define TAKE(function, symbol, arguments)                                                              \
  if (!(*(void **)&cupti.function = dlsym(library, symbol))) {                                         \
    snprintf(error->text, sizeof error->text, "%s has no %s", name, symbol);                           \
    return 0;                                                                                          \
  }
  CUPTI_FUNCTIONS(TAKE)
#undef TAKE
  return 1;
}

// Returns 0 for a failure, and says which call failed.
#define CALL(function, ...)                                                \
  do {                                                                     \
    int result_ = cupti.function(__VA_ARGS__);                             \
    if (result_) return failed(error, #function, result_);                 \
  } while (0)

static int begin(const char *library, uint64_t *now, mr_error *error) {
  if (!load(library, error)) return 0;
  CALL(timestamp, now);
  CALL(callbacks, request, complete);
  CALL(enable, ACTIVITY_MEMCPY);
  int result = cupti.enable(ACTIVITY_CONCURRENT_KERNEL);
  if (!result) return 1;
  cupti.disable(ACTIVITY_MEMCPY);
  return failed(error, "enable", result);
}

int mr_cupti_start(const char *library, uint64_t *now, mr_error *error) {
  pthread_mutex_lock(&cupti.mu);
  int free_to_begin = !cupti.recording;
  cupti.recording = 1;
  pthread_mutex_unlock(&cupti.mu);
  if (!free_to_begin) {
    snprintf(error->text, sizeof error->text, "another recording goes on");
    return 0;
  }
  int begun = begin(library, now, error);
  if (!begun) __atomic_store_n(&cupti.recording, 0, __ATOMIC_RELAXED);
  return begun;
}

static int end(mr_error *error) {
  CALL(disable, ACTIVITY_MEMCPY);
  CALL(disable, ACTIVITY_CONCURRENT_KERNEL);
  CALL(flush, FLUSH_FORCED); // what is not done yet, too; buffers come back through complete
  return 1;
}

int mr_cupti_stop(mr_span **spans, size_t *n, uint64_t *dropped, mr_error *error) {
  int ended = end(error);
  pthread_mutex_lock(&cupti.mu);
  *spans = cupti.spans, *n = cupti.n, *dropped = cupti.dropped;
  cupti.spans = NULL, cupti.n = cupti.room = cupti.dropped = cupti.recording = 0;
  pthread_mutex_unlock(&cupti.mu);
  if (!ended) {
    free(*spans);
    *spans = NULL, *n = 0;
  }
  return ended;
}
