// TreesRegressor and TreesClassifier: TreeEnsembleRegressor and -Classifier of
// ai.onnx.ml, bit for bit, for the cases that models.UseKernels takes.
#include <stdlib.h>
#include <string.h>

#include "forest.h"

// Where calls worked is kept for others: taken anew, its pages would be cleared each time.
enum { SPARES = 16 };

typedef struct {
  const OrtApi *api;
  const mr_forest *forest;
  const mr_forest_kernel *kernel;
  // A classifier's labels, one list of the two.
  uint8_t *labels;      // as the attribute holds them
  size_t label_bytes;
  int64_t *ints;        // [targets]
  const char **strings; // [targets], into labels
  size_t *lengths;      // [targets]
  void *spare[SPARES];
} trees;

// Rows that one call takes.
enum { JOB_ROWS = 2048 };

// What a call works in, in one piece.
typedef struct {
  int32_t *tiles; // [tiles][columns][rows]
  float *sums;    // [tiles][targets][TILE]
  void *planes;
} room;

// Tiles that a call has at once: all of its rows where trees come in several groups, so
// that a group serves them while it is in cache.
static size_t tiles_of(const mr_forest *f) { return f->n_groups > 1 ? JOB_ROWS / f->rows : 1; }

static int take_room(trees *k, room *to) {
  const mr_forest *f = k->forest;
  const size_t columns = tiles_of(f) * f->n_columns * f->rows, sums = tiles_of(f) * f->targets * TILE;
  void *memory = NULL;
  for (int i = 0; i < SPARES && !memory; i++) memory = __atomic_exchange_n(&k->spare[i], NULL, __ATOMIC_ACQUIRE);
  if (!memory) memory = aligned_alloc(64, (columns + sums) * sizeof(float) + (size_t)f->n_planes * PLANE);
  if (!memory) return 0;
  *to = (room){.tiles = memory, .sums = (float *)memory + columns, .planes = (float *)memory + columns + sums};
  return 1;
}

static void give_room(trees *k, const room *r) {
  for (int i = 0; i < SPARES; i++) {
    void *none = NULL;
    if (__atomic_compare_exchange_n(&k->spare[i], &none, r->tiles, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) return;
  }
  free(r->tiles);
}

static void ORT_API_CALL destroy(void *kernel) {
  trees *k = kernel;
  mr_forest_free((mr_forest *)k->forest);
  free(k->labels);
  free(k->ints);
  free(k->strings);
  free(k->lengths);
  for (int i = 0; i < SPARES; i++) free(k->spare[i]);
  free(k);
}

static OrtStatus *create(const OrtApi *api, const OrtKernelInfo *info, trees **out) {
  uint8_t *bytes;
  size_t size;
  TRY(mr_op_attribute(api, info, "forest", &bytes, &size));
  trees *k = calloc(1, sizeof *k);
  const char *error = "no memory";
  if (k) {
    mr_level level = mr_kernel_level();
    k->api = api;
    k->kernel = &mr_forest_plain;
#ifdef __x86_64__
    if (level == MR_AVX2) k->kernel = &mr_forest_avx2;
    if (level == MR_AVX512) k->kernel = &mr_forest_avx512;
#endif
    mr_forest *f = mr_forest_read(bytes, size, &error);
    if (f && !mr_forest_plan(f, level)) {
      mr_forest_free(f);
      f = NULL;
      error = "no memory";
    }
    k->forest = f;
  }
  free(bytes);
  if (!k || !k->forest) {
    free(k);
    return api->CreateStatus(ORT_INVALID_GRAPH, error);
  }
  *out = k;
  return NULL;
}

static OrtStatus *ORT_API_CALL create_regressor(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                                void **kernel) {
  (void)op;
  trees *k = NULL;
  TRY(create(api, info, &k));
  *kernel = k;
  return NULL;
}

// Labels are integers of 8 bytes, or for each string 4 bytes of its length and
// then its text.
static int read_ints(trees *k) {
  size_t n = k->forest->targets;
  k->ints = malloc(n * sizeof *k->ints);
  if (!k->ints || k->label_bytes != n * sizeof *k->ints) return 0;
  memcpy(k->ints, k->labels, k->label_bytes);
  return 1;
}

static int read_strings(trees *k) {
  size_t n = k->forest->targets, at = 0;
  k->strings = malloc(n * sizeof *k->strings);
  k->lengths = malloc(n * sizeof *k->lengths);
  if (!k->strings || !k->lengths) return 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t length;
    if (k->label_bytes - at < sizeof length) return 0;
    memcpy(&length, k->labels + at, sizeof length);
    at += sizeof length;
    if (k->label_bytes - at < length) return 0;
    k->strings[i] = (const char *)k->labels + at;
    k->lengths[i] = length;
    at += length;
  }
  return at == k->label_bytes;
}

static OrtStatus *create_classifier(const OrtApi *api, const OrtKernelInfo *info, void **kernel, int (*labels)(trees *)) {
  trees *k = NULL;
  TRY(create(api, info, &k));
  OrtStatus *status = mr_op_attribute(api, info, "labels", &k->labels, &k->label_bytes);
  if (!status && (!k->forest->classifier || k->forest->targets < 2 || !labels(k)))
    status = api->CreateStatus(ORT_INVALID_GRAPH, "labels and classes do not fit each other");
  if (status) {
    destroy(k);
    return status;
  }
  *kernel = k;
  return NULL;
}

static OrtStatus *ORT_API_CALL create_ints(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                           void **kernel) {
  return (void)op, create_classifier(api, info, kernel, read_ints);
}

static OrtStatus *ORT_API_CALL create_strings(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                              void **kernel) {
  return (void)op, create_classifier(api, info, kernel, read_strings);
}

static void finish_regression(const mr_forest *f, size_t n, const float *scores, float *out) {
  const mr_finish how = mr_forest_finish(f);
  for (uint32_t k = 0; k < f->targets; k++) {
    const float *from = scores + (size_t)k * TILE;
    for (size_t r = 0; r < n; r++) out[r * f->targets + k] = mr_regress(&how, k, from[r]);
  }
}

static void finish_classes(const mr_forest *f, size_t n, const float *scores, float *out, uint32_t *label) {
  const mr_finish how = mr_forest_finish(f);
  for (size_t r = 0; r < n; r++, out += f->targets) {
    for (uint32_t k = 0; k < f->targets; k++) out[k] = scores[(size_t)k * TILE + r];
    label[r] = mr_classify(&how, out, 1);
  }
}

// One Run.
typedef struct {
  trees *k;
  mr_matrix x;
  size_t rows, stride;
  float *out;
  uint32_t *label;
  int out_of_memory;
} job;

static void run_rows(void *data, size_t part) {
  job *j = data;
  const mr_forest *f = j->k->forest;
  const mr_forest_kernel *kernel = j->k->kernel;
  const size_t tiles = tiles_of(f), columns = (size_t)f->n_columns * f->rows, sums = (size_t)f->targets * TILE;
  room m;
  if (!take_room(j->k, &m)) {
    j->out_of_memory = 1;
    return;
  }
  mr_place p = mr_first_place(&j->x.columns);
  const size_t end = (part + 1) * JOB_ROWS < j->rows ? (part + 1) * JOB_ROWS : j->rows;
#define EACH_TILE \
  for (size_t t = 0, row = first, n; row < last && (n = last - row < f->rows ? last - row : f->rows); row += n, t++)
  for (size_t first = part * JOB_ROWS, last; first < end; first = last) {
    last = first + tiles * f->rows < end ? first + tiles * f->rows : end;
    EACH_TILE {
      if (j->x.data)
        kernel->fill(f, j->x.data + row * j->stride, j->stride, n, m.tiles + t * columns);
      else
        kernel->fill_columns(f, &j->x.columns, &p, row, n, m.tiles + t * columns);
    }
    memset(m.sums, 0, tiles * sums * sizeof *m.sums);
    for (uint32_t g = 0; g < f->n_groups; g++)
      EACH_TILE kernel->score(f, &f->groups[g], n, m.tiles + t * columns, m.planes, m.sums + t * sums);
    EACH_TILE {
      if (f->classifier)
        finish_classes(f, n, m.sums + t * sums, j->out + row * f->targets, j->label + row);
      else
        finish_regression(f, n, m.sums + t * sums, j->out + row * f->targets);
    }
  }
#undef EACH_TILE
  give_room(j->k, &m);
}

// A tensor of one dimension is one row, but of one feature, as ONNX Runtime has
// it.
OrtStatus *mr_trees_shape(const OrtApi *api, const mr_matrix *x, uint32_t width, size_t *rows, size_t *stride) {
  if (x->rank != 1 && x->rank != 2)
    return api->CreateStatus(ORT_INVALID_ARGUMENT, "trees take a tensor of one or two dimensions");
  *rows = x->rank == 2 ? (size_t)x->dims[0] : 1;
  *stride = x->rank == 2 ? (size_t)x->dims[1] : 1;
  if (width > *stride)
    return api->CreateStatus(ORT_INVALID_ARGUMENT, "a tree splits on a feature that the input does not have");
  return NULL;
}

static OrtStatus *begin(trees *k, OrtKernelContext *context, job *j) {
  *j = (job){.k = k};
  TRY(mr_op_input(k->api, context, &j->x));
  return mr_trees_shape(k->api, &j->x, k->forest->width, &j->rows, &j->stride);
}

static OrtStatus *finish(trees *k, OrtKernelContext *context, job *j) {
  const size_t parts = (j->rows + JOB_ROWS - 1) / JOB_ROWS;
  if (parts == 1)
    run_rows(j, 0);
  else if (parts > 1) // sequential where the session has one thread
    TRY(k->api->KernelContext_ParallelFor(context, run_rows, parts, 0, j));
  return j->out_of_memory ? k->api->CreateStatus(ORT_FAIL, "Failed to allocate memory for rows") : NULL;
}

static OrtStatus *ORT_API_CALL compute_regressor(void *kernel, OrtKernelContext *context) {
  trees *k = kernel;
  job j;
  TRY(begin(k, context, &j));
  const int64_t dims[] = {(int64_t)j.rows, k->forest->targets};
  OrtValue *value;
  void *out;
  TRY(mr_op_output(k->api, context, 0, dims, 2, &value, &out));
  j.out = out;
  return finish(k, context, &j);
}

static OrtStatus *compute_classes(trees *k, OrtKernelContext *context, job *j) {
  const int64_t dims[] = {(int64_t)j->rows, k->forest->targets};
  OrtValue *value;
  void *out;
  TRY(mr_op_output(k->api, context, 1, dims, 2, &value, &out));
  j->out = out;
  j->label = malloc(j->rows * sizeof *j->label + 1);
  if (!j->label) return k->api->CreateStatus(ORT_FAIL, "Failed to allocate memory for labels");
  return finish(k, context, j);
}

static OrtStatus *ORT_API_CALL compute_ints(void *kernel, OrtKernelContext *context) {
  trees *k = kernel;
  job j;
  TRY(begin(k, context, &j));
  const int64_t rows = (int64_t)j.rows;
  OrtValue *value;
  void *out;
  TRY(mr_op_output(k->api, context, 0, &rows, 1, &value, &out));
  OrtStatus *status = compute_classes(k, context, &j);
  int64_t *label = out;
  if (!status)
    for (size_t r = 0; r < j.rows; r++) label[r] = k->ints[j.label[r]];
  free(j.label);
  return status;
}

static OrtStatus *ORT_API_CALL compute_strings(void *kernel, OrtKernelContext *context) {
  trees *k = kernel;
  job j;
  TRY(begin(k, context, &j));
  const int64_t rows = (int64_t)j.rows;
  OrtValue *value;
  TRY(mr_op_output(k->api, context, 0, &rows, 1, &value, NULL));
  OrtStatus *status = compute_classes(k, context, &j);
  for (size_t r = 0; !status && r < j.rows; r++) {
    char *text;
    uint32_t label = j.label[r];
    status = k->api->GetResizedStringTensorElementBuffer(value, r, k->lengths[label], &text);
    if (!status) memcpy(text, k->strings[label], k->lengths[label]);
  }
  free(j.label);
  return status;
}

// The number of targets, for shapes: an attribute of its own.
static int64_t targets_of(const OrtApi *api, OrtShapeInferContext *context) { return mr_op_infer_int(api, context, "targets"); }

static OrtStatus *ORT_API_CALL infer_regressor(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  return mr_op_infer_rows(mr_ops_api, context, 0, targets_of(mr_ops_api, context), 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

static OrtStatus *ORT_API_CALL infer_ints(const OrtCustomOp *op, OrtShapeInferContext *context) {
  TRY(mr_op_infer_rows(mr_ops_api, context, 0, 0, 1, op->GetOutputType(op, 0)));
  return mr_op_infer_rows(mr_ops_api, context, 1, targets_of(mr_ops_api, context), 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

static const char *ORT_API_CALL regressor_name(const OrtCustomOp *op) { return (void)op, "TreesRegressor"; }
static const char *ORT_API_CALL ints_name(const OrtCustomOp *op) { return (void)op, "TreesClassifierInt64"; }
static const char *ORT_API_CALL strings_name(const OrtCustomOp *op) { return (void)op, "TreesClassifierString"; }

static ONNXTensorElementDataType ORT_API_CALL ints_type(const OrtCustomOp *op, size_t i) {
  return (void)op, i ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

static ONNXTensorElementDataType ORT_API_CALL strings_type(const OrtCustomOp *op, size_t i) {
  return (void)op, i ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
}

const OrtCustomOp mr_op_trees_regressor = {
    MR_OP_OF_COLUMNS, .GetName = regressor_name, .GetOutputType = mr_op_float, .GetOutputTypeCount = mr_op_one,
    .CreateKernelV2 = create_regressor, .KernelComputeV2 = compute_regressor, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer_regressor,
};

const OrtCustomOp mr_op_trees_classifier_ints = {
    MR_OP_OF_COLUMNS, .GetName = ints_name, .GetOutputType = ints_type, .GetOutputTypeCount = mr_op_two,
    .CreateKernelV2 = create_ints, .KernelComputeV2 = compute_ints, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer_ints,
};

const OrtCustomOp mr_op_trees_classifier_strings = {
    MR_OP_OF_COLUMNS, .GetName = strings_name, .GetOutputType = strings_type, .GetOutputTypeCount = mr_op_two,
    .CreateKernelV2 = create_strings, .KernelComputeV2 = compute_strings, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer_ints,
};
