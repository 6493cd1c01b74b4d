// Dense: a chain of dense layers, with a chain of Imputer and Scaler before; see
// dense.h.
#include <stdlib.h>
#include <string.h>

#include "dense.h"
#include "words.h"

typedef struct {
  const OrtApi *api;
  mr_dense *dense;
  const mr_dense_kernel *kernel;
} dense;

void mr_dense_free(mr_dense *d) {
  if (!d) return;
  mr_affine_free(d->affine);
  free(d->memory);
  free(d);
}

static void ORT_API_CALL destroy(void *kernel) {
  dense *k = kernel;
  mr_dense_free(k->dense);
  free(k);
}

// The words of the layout; models/kernels_dense_layer.go draws it.
enum { MAGIC = 0x3144524d, HEAD = 2, LAYER = 5 };
enum { MOST_LAYERS = 64, MOST_WIDTH = 1 << 12 };

// Weights come as [inputs][outputs].
static void pack(const mr_layer *l, const float *from, size_t most, float *to) {
  for (size_t n = 0, wide; n < l->outputs; n += wide) {
    wide = mr_dense_block(most, l->outputs - n);
    for (size_t k = 0; k < l->inputs; k++, to += wide) memcpy(to, from + k * l->outputs + n, wide * sizeof *to);
  }
}

static int read_layer(reader *r, size_t inputs, size_t most, mr_layer *l, float **at) {
  struct {
    uint32_t inputs, outputs, activation;
    float low, high;
  } head;
  if (!words(r, &head, LAYER) || head.activation >= MR_ACTIVATIONS) return 0;
  if (!head.inputs || head.inputs > MOST_WIDTH || !head.outputs || head.outputs > MOST_WIDTH) return 0;
  if (inputs && inputs != head.inputs) return 0;
  *l = (mr_layer){.inputs = head.inputs, .outputs = head.outputs, .activation = head.activation,
                  .low = head.low, .high = head.high, .bias = *at};
  if (!words(r, *at, l->outputs)) return 0;
  *at += l->outputs;
  const size_t n = l->inputs * l->outputs;
  if (n > r->words - r->at) return 0;
  l->weights = *at;
  pack(l, (const float *)(const void *)(r->bytes + 4 * r->at), most, *at);
  r->at += n;
  *at += n;
  return 1;
}

static int read_layers(mr_dense *d, reader *r, const mr_dense_kernel *kernel) {
  mr_layer *layers = d->memory;
  float *at = (float *)(layers + d->n_layers);
  d->layers = layers;
  for (uint32_t i = 0; i < d->n_layers; i++) {
    const mr_layer *l = &layers[i];
    if (!read_layer(r, d->outputs, kernel->block, &layers[i], &at)) return 0;
    if (!i) d->inputs = l->inputs;
    d->outputs = l->outputs;
    d->sums += l->inputs * l->outputs;
    size_t *in = i % 2 ? &d->odd : &d->even, *out = i % 2 ? &d->even : &d->odd;
    if (*in < l->inputs) *in = l->inputs;
    if (*out < l->outputs) *out = l->outputs;
  }
  return r->at == r->words;
}

static int read_stages(mr_dense *d, mr_layout stages) {
  if (!stages.size) return 1;
  const mr_affine *a = d->affine = mr_affine_read(stages.bytes, stages.size);
  return a && !a->coefficients && (!a->width || a->width == d->inputs);
}

mr_dense *mr_dense_read(mr_layout layers, mr_layout stages, const mr_dense_kernel *kernel) {
  reader r = {.bytes = layers.bytes, .words = layers.size / 4};
  struct {
    uint32_t magic, layers;
  } head;
  if (layers.size % 4 || !words(&r, &head, HEAD) || head.magic != MAGIC) return NULL;
  if (!head.layers || head.layers > MOST_LAYERS) return NULL;
  mr_dense *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->n_layers = head.layers;
  // Packed, the parameters take no more than the words that are left.
  d->memory = calloc(1, head.layers * sizeof(mr_layer) + (r.words - r.at) * sizeof(float));
  if (d->memory && read_layers(d, &r, kernel) && read_stages(d, stages)) return d;
  mr_dense_free(d);
  return NULL;
}

const mr_dense_kernel *mr_dense_choose(void) {
#ifdef __x86_64__
  mr_level level = mr_kernel_level();
  if (!__builtin_cpu_supports("fma")) return NULL;
  if (level == MR_AVX512) return &mr_dense_avx512;
  if (level == MR_AVX2) return &mr_dense_avx2;
#endif
  return &mr_dense_plain;
}

static OrtStatus *ORT_API_CALL create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, void **kernel) {
  (void)op;
  const mr_dense_kernel *chosen = mr_dense_choose();
  if (!chosen) return api->CreateStatus(ORT_NOT_IMPLEMENTED, "dense layers take a processor with fused multiply-add");
  uint8_t *layers, *stages;
  mr_layout l, s;
  TRY(mr_op_attribute(api, info, "layers", &layers, &l.size));
  OrtStatus *status = mr_op_attribute(api, info, "stages", &stages, &s.size);
  if (status) {
    free(layers);
    return status;
  }
  l.bytes = layers;
  s.bytes = stages;
  dense *k = calloc(1, sizeof *k);
  if (k) *k = (dense){.api = api, .dense = mr_dense_read(l, s, chosen), .kernel = chosen};
  free(layers);
  free(stages);
  if (!k || !k->dense) {
    if (k) destroy(k);
    return api->CreateStatus(ORT_INVALID_GRAPH, "not a chain of dense layers");
  }
  *kernel = k;
  return NULL;
}

// One Run, cut into parts of whole tiles.
typedef struct {
  const dense *k;
  const mr_matrix *x;
  float *y;
  size_t rows, part;
  int out_of_memory;
} job;

// A part is this much work, some 100 microseconds.
enum { PART_SUMS = 1 << 22 };

// Values that lie on a thread's stack, of both tiles together: 96 KiB.
enum { NEAR = 96 << 8 };

// Takes a tile of rows through all layers, from one half of memory to the other
// and back.
static void run_tile(const dense *k, const mr_matrix *x, mr_place *p, size_t first, size_t rows, float *memory, float *y) {
  const mr_dense *d = k->dense;
  const size_t tile = k->kernel->rows;
  float *in = memory, *out = memory + d->even * tile;
  // Lanes without a row compute, too, and may take long over what lies there.
  if (rows < tile) memset(in, 0, d->inputs * tile * sizeof *in);
  if (x->data)
    k->kernel->turn(x->data + first * d->inputs, rows, d->inputs, d->inputs, in, tile);
  else
    k->kernel->gather(&x->columns, p, first, rows, in, tile);
  if (d->affine) k->kernel->affine(d->affine, d->inputs, in);
  for (uint32_t i = 0; i < d->n_layers; i++) {
    k->kernel->layer(&d->layers[i], in, rows, out);
    float *next = in;
    in = out;
    out = next;
  }
  if (d->outputs == 1)
    memcpy(y, in, rows * sizeof *y);
  else
    k->kernel->turn(in, d->outputs, rows, tile, y, d->outputs);
}

static void run_rows(void *data, size_t part) {
  job *j = data;
  const mr_dense *d = j->k->dense;
  const size_t tile = j->k->kernel->rows, size = (d->even + d->odd) * tile * sizeof(float);
  _Alignas(64) float near[NEAR];
  float *memory = near;
  if (size > sizeof near && !(memory = aligned_alloc(64, (size + 63) / 64 * 64))) {
    j->out_of_memory = 1;
    return;
  }
  const size_t end = (part + 1) * j->part < j->rows ? (part + 1) * j->part : j->rows;
  mr_place p = mr_first_place(&j->x->columns);
  for (size_t r = part * j->part; r < end; r += tile)
    run_tile(j->k, j->x, &p, r, end - r < tile ? end - r : tile, memory, j->y + r * d->outputs);
  if (memory != near) free(memory);
}

static OrtStatus *ORT_API_CALL compute(void *kernel, OrtKernelContext *context) {
  const dense *k = kernel;
  const mr_dense *d = k->dense;
  mr_matrix x;
  TRY(mr_op_input(k->api, context, &x));
  if (x.rank != 2 || x.dims[1] != (int64_t)d->inputs)
    return k->api->CreateStatus(ORT_INVALID_ARGUMENT, "weights are for another number of columns than the input has");
  const int64_t dims[] = {x.dims[0], (int64_t)d->outputs};
  OrtValue *value;
  void *y;
  TRY(mr_op_output(k->api, context, 0, dims, 2, &value, &y));
  job j = {.k = k, .x = &x, .y = y, .rows = (size_t)x.dims[0]};
  j.part = (PART_SUMS / d->sums / k->kernel->rows + 1) * k->kernel->rows;
  const size_t parts = (j.rows + j.part - 1) / j.part;
  if (parts == 1)
    run_rows(&j, 0);
  else if (parts > 1) // sequential where the session has one thread
    TRY(k->api->KernelContext_ParallelFor(context, run_rows, parts, 0, &j));
  return j.out_of_memory ? k->api->CreateStatus(ORT_FAIL, "Failed to allocate memory for rows") : NULL;
}

static OrtStatus *ORT_API_CALL infer(const OrtCustomOp *op, OrtShapeInferContext *context) {
  (void)op;
  const int64_t outputs = mr_op_infer_int(mr_ops_api, context, "outputs");
  return mr_op_infer_rows(mr_ops_api, context, 0, outputs, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
}

static const char *ORT_API_CALL name(const OrtCustomOp *op) { return (void)op, "Dense"; }

const OrtCustomOp mr_op_dense = {
    MR_OP_OF_COLUMNS, .GetName = name, .GetOutputType = mr_op_float, .GetOutputTypeCount = mr_op_one,
    .CreateKernelV2 = create, .KernelComputeV2 = compute, .KernelDestroy = destroy,
    .InferOutputShapeFn = infer,
};
