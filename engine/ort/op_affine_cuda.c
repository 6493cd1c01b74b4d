// Affine and Linear on a device: the bits of the processor's.
#include <stdlib.h>
#include <string.h>

#include "affine.h"
#include "cuda.h"

_Static_assert((int)PARTS == (int)MR_CUDA_PARTS, "sums are made of as many parts");

typedef struct {
  const OrtApi *api;
  const mr_cuda_device *device;
  size_t width; // as in mr_affine
  mr_cuda_affine arguments;
  mr_cu_pointer memory;
} affine;

static void ORT_API_CALL destroy(void *kernel) {
  affine *k = kernel;
  mr_cuda_free(k->device, k->memory);
  free(k);
}

// Parameters of one row, where the processor has those of a period.
static void copy(float *to, const float *from, size_t width) {
  if (from) memcpy(to, from, width * sizeof *to);
}

static OrtStatus *place(affine *k, const mr_affine *a) {
  const size_t width = a->width ? a->width : 1, stages = (a->n_stages * sizeof(mr_cuda_stage) + 15) & ~(size_t)15;
  const size_t parameters = MR_CUDA_PARAMETERS * a->n_stages * width, bytes = stages + (parameters + width) * sizeof(float);
  uint8_t *image = calloc(1, bytes);
  if (!image) return k->api->CreateStatus(ORT_FAIL, "Failed to allocate memory for parameters");
  float *p = (float *)(image + stages);
  for (uint32_t i = 0; i < a->n_stages; i++) {
    const mr_stage *s = &a->stages[i];
    ((mr_cuda_stage *)image)[i] =
        (mr_cuda_stage){.replaces = s->instead != NULL, .scales = s->scale != NULL, .missing = s->missing};
    float *own = p + i * MR_CUDA_PARAMETERS * width;
    copy(own + MR_CUDA_INSTEAD * width, s->instead, width);
    copy(own + MR_CUDA_OFFSET * width, s->offset, width);
    copy(own + MR_CUDA_SCALE * width, s->scale, width);
  }
  copy(p + parameters, a->coefficients, width);
  OrtStatus *status = mr_cuda_upload(k->api, k->device, image, bytes, &k->memory);
  free(image);
  const float *at = (const float *)(uintptr_t)(k->memory + stages);
  k->width = a->width;
  k->arguments = (mr_cuda_affine){.width = (uint32_t)width, .n_stages = a->n_stages, .parameters = at,
                                  .stages = (const mr_cuda_stage *)(uintptr_t)k->memory,
                                  .coefficients = at + parameters, .intercept = a->intercept};
  return status;
}

static OrtStatus *read_stages(affine *k, const OrtKernelInfo *info, int sums) {
  uint8_t *bytes;
  size_t size;
  TRY(mr_op_attribute(k->api, info, "stages", &bytes, &size));
  mr_affine *a = mr_affine_read(bytes, size);
  free(bytes);
  OrtStatus *status = !a || (a->coefficients != NULL) != sums
                          ? k->api->CreateStatus(ORT_INVALID_GRAPH, "not a chain of stages")
                          : place(k, a);
  mr_affine_free(a);
  return status;
}

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, int sums, void **kernel) {
  const mr_cuda_device *device;
  TRY(mr_cuda_open(api, ((const mr_cuda_op *)op)->device, &device));
  affine *k = calloc(1, sizeof *k);
  if (!k) return api->CreateStatus(ORT_FAIL, "Failed to allocate memory for parameters");
  k->api = api;
  k->device = device;
  OrtStatus *status = read_stages(k, info, sums);
  if (status)
    destroy(k);
  else
    *kernel = k;
  return status;
}

static OrtStatus *ORT_API_CALL create_affine(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                             void **kernel) {
  return create(op, api, info, 0, kernel);
}

static OrtStatus *ORT_API_CALL create_linear(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                             void **kernel) {
  return create(op, api, info, 1, kernel);
}

// Blocks that keep a device busy; threads take several values or rows each.
enum { BLOCKS_OF_PROCESSOR = 16 };

static OrtStatus *run(const affine *k, OrtKernelContext *context, mr_cuda_kernel kernel, const float *x, void *y, uint64_t n,
                      uint64_t of_block) {
  mr_cuda_affine a = k->arguments;
  a.x = x;
  a.y = y;
  a.n = n;
  const uint64_t most = BLOCKS_OF_PROCESSOR * (uint64_t)k->device->processors, all = (n + of_block - 1) / of_block;
  const mr_cuda_launch launch = {.kernel = kernel, .blocks = all < most ? all : most, .threads = MR_CUDA_AFFINE_THREADS,
                                 .shared = MR_CUDA_AFFINE_THREADS * sizeof(float)};
  return mr_cuda_run(k->api, k->device, context, launch, &a);
}

static OrtStatus *ORT_API_CALL compute_affine(void *kernel, OrtKernelContext *context) {
  const affine *k = kernel;
  mr_matrix x;
  TRY(mr_op_input(k->api, context, &x));
  TRY(mr_affine_shape(k->api, &x, k->width));
  OrtValue *value;
  void *y;
  TRY(mr_op_output(k->api, context, 0, x.dims, x.rank, &value, &y));
  return run(k, context, K_mr_affine_values, x.data, y, x.elements, MR_CUDA_AFFINE_THREADS);
}

static OrtStatus *ORT_API_CALL compute_linear(void *kernel, OrtKernelContext *context) {
  const affine *k = kernel;
  mr_matrix x;
  int64_t dims[2];
  TRY(mr_op_input(k->api, context, &x));
  TRY(mr_linear_shape(k->api, &x, k->width, dims));
  OrtValue *value;
  void *y;
  TRY(mr_op_output(k->api, context, 0, dims, 2, &value, &y));
  return run(k, context, K_mr_affine_sums, x.data, y, (uint64_t)dims[0], MR_CUDA_AFFINE_THREADS / MR_CUDA_PARTS);
}

void mr_cuda_affine_op(OrtCustomOp *op) {
  *op = mr_op_affine;
  op->CreateKernelV2 = create_affine;
  op->KernelComputeV2 = compute_affine;
  op->KernelDestroy = destroy;
}

void mr_cuda_linear_op(OrtCustomOp *op) {
  *op = mr_op_linear;
  op->CreateKernelV2 = create_linear;
  op->KernelComputeV2 = compute_linear;
  op->KernelDestroy = destroy;
}
