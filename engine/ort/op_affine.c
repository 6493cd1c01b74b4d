// Affine: a chain of Imputer and Scaler of ai.onnx.ml, bit for bit. Linear: the
// same with a LinearRegressor of one target behind it, whose sum is rounded
// otherwise than ONNX Runtime's; see affine.h.
#include <stdlib.h>
#include <string.h>

#include "affine.h"
#include "dense.h"
#include "words.h"

typedef struct {
  const OrtApi *api;
  mr_affine *affine;
  const mr_affine_kernel *kernel;
  const mr_dense_kernel *tiles; // of columns; NULL: none
} affine;

void mr_affine_free(mr_affine *a) {
  if (a) free(a->memory);
  free(a);
}

static void ORT_API_CALL destroy(void *kernel) {
  affine *k = kernel;
  mr_affine_free(k->affine);
  free(k);
}

// The words of the layout; models/affine_layout.go draws it.
enum { MAGIC = 0x3141524d, HEAD = 3, REPLACE = 1, SCALE = 2, SUM = 4 };
enum { MOST_WIDTH = 1 << 24, MOST_STAGES = 64, MOST_PERIOD = 4096 };

static size_t period_of(size_t width) {
  size_t period = width ? width : PARTS;
  while (period % PARTS) period *= 2;
  return period <= MOST_PERIOD ? period : width;
}

// Reads n parameters, 1 or one a column, and repeats them for a period.
static int parameters(reader *r, const mr_affine *a, uint32_t n, float **at, const float **out) {
  if (n != 1 && n != a->width) return 0;
  float *p = *at;
  if (!words(r, p, n)) return 0;
  for (size_t i = n; i < a->period; i++) p[i] = p[i - n];
  *at += a->period;
  *out = p;
  return 1;
}

static int read_stages(mr_affine *a, reader *r) {
  mr_stage *stages = a->memory;
  float *at = (float *)(stages + a->n_stages);
  a->stages = stages;
  for (uint32_t i = 0; i < a->n_stages; i++) {
    uint32_t what, n;
    if (!words(r, &what, 1) || !(what & (REPLACE | SCALE)) || what & ~(uint32_t)(REPLACE | SCALE)) return 0;
    if (what & REPLACE && (!words(r, &n, 1) || !words(r, &stages[i].missing, 1) ||
                           !parameters(r, a, n, &at, &stages[i].instead)))
      return 0;
    if (what & SCALE && (!words(r, &n, 1) || !parameters(r, a, n, &at, &stages[i].offset) ||
                         !parameters(r, a, n, &at, &stages[i].scale)))
      return 0;
  }
  if (!a->coefficients) return r->at == r->words;
  a->coefficients = at;
  return words(r, at, a->width) && words(r, &a->intercept, 1) && r->at == r->words;
}

mr_affine *mr_affine_read(const uint8_t *bytes, size_t size) {
  reader r = {.bytes = bytes, .words = size / 4};
  struct {
    uint32_t magic, width, stages;
  } head;
  if (size % 4 || !words(&r, &head, HEAD) || head.magic != MAGIC || head.width > MOST_WIDTH) return NULL;
  const uint32_t n = head.stages & 0xffff, flags = head.stages >> 16;
  if (!n || n > MOST_STAGES || flags & ~(uint32_t)SUM || (flags & SUM && !head.width)) return NULL;
  mr_affine *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  *a = (mr_affine){.width = head.width, .period = period_of(head.width), .n_stages = n};
  a->memory = calloc(1, n * sizeof(mr_stage) + (3 * n + 1) * a->period * sizeof(float));
  static const float some;
  if (flags & SUM) a->coefficients = &some; // until read_stages
  if (a->memory && read_stages(a, &r)) return a;
  mr_affine_free(a);
  return NULL;
}

static OrtStatus *create(const OrtApi *api, const OrtKernelInfo *info, int sums, void **kernel) {
  uint8_t *bytes;
  size_t size;
  TRY(mr_op_attribute(api, info, "stages", &bytes, &size));
  affine *k = calloc(1, sizeof *k);
  if (k) k->affine = mr_affine_read(bytes, size);
  free(bytes);
  if (!k || !k->affine || (k->affine->coefficients != NULL) != sums) {
    if (k) destroy(k);
    return api->CreateStatus(ORT_INVALID_GRAPH, "not a chain of stages");
  }
  k->api = api;
  k->kernel = &mr_affine_plain;
#ifdef __x86_64__
  mr_level level = mr_kernel_level();
  if (level == MR_AVX2) k->kernel = &mr_affine_avx2;
  if (level == MR_AVX512) k->kernel = &mr_affine_avx512;
#endif
  k->tiles = mr_dense_choose();
  *kernel = k;
  return NULL;
}

static OrtStatus *ORT_API_CALL create_affine(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                             void **kernel) {
  return (void)op, create(api, info, 0, kernel);
}

static OrtStatus *ORT_API_CALL create_linear(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                             void **kernel) {
  return (void)op, create(api, info, 1, kernel);
}

// One Run, cut into parts that leave rows and periods whole.
typedef struct {
  const affine *k;
  const float *x;
  const mr_columns *columns; // in place of x
  float *y;
  size_t n, part; // values
  int out_of_memory;
} job;

enum { PART_VALUES = 1 << 16, TILE_VALUES = 2048 };

static void run_stages(const affine *k, const float *x, size_t n, float *y) {
  const mr_affine *a = k->affine;
  for (uint32_t i = 0; i < a->n_stages; i++) k->kernel->stage(a, &a->stages[i], i ? y : x, n, y);
}

// A whole number of steps, about as many as make up size.
static size_t round_to(size_t size, size_t step) { return size > step ? size / step * step : step; }

static void run_affine(void *data, size_t part) {
  const job *j = data;
  const size_t end = (part + 1) * j->part < j->n ? (part + 1) * j->part : j->n;
  const size_t tile = round_to(TILE_VALUES, j->k->affine->period);
  for (size_t at = part * j->part; at < end; at += tile)
    run_stages(j->k, j->x + at, end - at < tile ? end - at : tile, j->y + at);
}

static void run_linear(void *data, size_t part) {
  job *j = data;
  const affine *k = j->k;
  const size_t width = k->affine->width, end = (part + 1) * j->part < j->n ? (part + 1) * j->part : j->n;
  // Rows of a tile lie on the stack, but for a row that is too long.
  const size_t step = round_to(TILE_VALUES, width);
  float near[TILE_VALUES], *tile = near;
  if (step > TILE_VALUES && !(tile = malloc(step * sizeof *tile))) {
    j->out_of_memory = 1;
    return;
  }
  for (size_t at = part * j->part; at < end; at += step) {
    const size_t n = end - at < step ? end - at : step;
    run_stages(k, j->x + at, n, tile);
    k->kernel->sum(k->affine, tile, n / width, j->y + at / width);
  }
  if (tile != near) free(tile);
}

// The same of columns that lie as columns.
static void run_columns(void *data, size_t part) {
  job *j = data;
  const size_t width = j->k->affine->width, from = part * j->part;
  const size_t n = j->part < j->n - from ? j->part : j->n - from;
  j->k->tiles->sum(j->k->affine, j->columns, from / width, n / width, j->y + from / width);
}

static OrtStatus *run(const affine *k, OrtKernelContext *context, job *j, void (*rows)(void *, size_t)) {
  j->part = round_to(PART_VALUES, k->affine->period);
  const size_t parts = (j->n + j->part - 1) / j->part;
  if (parts == 1)
    rows(j, 0);
  else if (parts > 1) // sequential where the session has one thread
    TRY(k->api->KernelContext_ParallelFor(context, rows, parts, 0, j));
  return j->out_of_memory ? k->api->CreateStatus(ORT_FAIL, "Failed to allocate memory for a row") : NULL;
}

// Columns are counted as ONNX Runtime's operators of ai.onnx.ml do: the second
// dimension, or the only one.
OrtStatus *mr_affine_shape(const OrtApi *api, const mr_matrix *x, size_t width) {
  if (!x->rank) return api->CreateStatus(ORT_INVALID_ARGUMENT, "a scalar has no columns");
  if (width && (int64_t)width != (x->rank == 1 ? x->dims[0] : x->dims[1]))
    return api->CreateStatus(ORT_INVALID_ARGUMENT, "parameters are for another number of columns than the input has");
  return NULL;
}

OrtStatus *mr_linear_shape(const OrtApi *api, const mr_matrix *x, size_t width, int64_t dims[2]) {
  TRY(mr_affine_shape(api, x, width));
  if (x->rank > 2) return api->CreateStatus(ORT_INVALID_ARGUMENT, "a regressor takes one or two dimensions");
  dims[0] = x->rank == 1 ? 1 : x->dims[0];
  dims[1] = 1;
  return NULL;
}

static OrtStatus *ORT_API_CALL compute_affine(void *kernel, OrtKernelContext *context) {
  const affine *k = kernel;
  mr_matrix x;
  TRY(mr_op_input(k->api, context, &x));
  TRY(mr_affine_shape(k->api, &x, k->affine->width));
  OrtValue *value;
  void *y;
  TRY(mr_op_output(k->api, context, 0, x.dims, x.rank, &value, &y));
  job j = {.k = k, .x = x.data, .y = y, .n = x.elements};
  return run(k, context, &j, run_affine);
}

static OrtStatus *ORT_API_CALL compute_linear(void *kernel, OrtKernelContext *context) {
  const affine *k = kernel;
  mr_matrix x;
  TRY(mr_op_input(k->api, context, &x));
  int64_t dims[2];
  TRY(mr_linear_shape(k->api, &x, k->affine->width, dims));
  OrtValue *value;
  void *y;
  TRY(mr_op_output(k->api, context, 0, dims, 2, &value, &y));
  job j = {.k = k, .x = x.data, .columns = &x.columns, .y = y, .n = x.elements};
  if (x.data || !x.elements) return run(k, context, &j, run_linear);
  if (!k->tiles) return k->api->CreateStatus(ORT_NOT_IMPLEMENTED, "columns take a processor with fused multiply-add");
  return run(k, context, &j, run_columns);
}

static OrtStatus *ORT_API_CALL infer_affine(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  return mr_op_infer_same(mr_ops_api, context, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

static OrtStatus *ORT_API_CALL infer_linear(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  return mr_op_infer_rows(mr_ops_api, context, 0, 1, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

static const char *ORT_API_CALL affine_name(const OrtCustomOp *op) { return (void)op, "Affine"; }
static const char *ORT_API_CALL linear_name(const OrtCustomOp *op) { return (void)op, "Linear"; }

const OrtCustomOp mr_op_affine = {
    MR_OP_SHARED, .GetName = affine_name, .GetOutputType = mr_op_float, .GetOutputTypeCount = mr_op_one,
    .CreateKernelV2 = create_affine, .KernelComputeV2 = compute_affine, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer_affine,
};

const OrtCustomOp mr_op_linear = {
    MR_OP_OF_COLUMNS, .GetName = linear_name, .GetOutputType = mr_op_float, .GetOutputTypeCount = mr_op_one,
    .CreateKernelV2 = create_linear, .KernelComputeV2 = compute_linear, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer_linear,
};
