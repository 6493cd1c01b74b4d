// TreesRegressor and TreesClassifierInt64 on a device. TreesClassifierString
// stays on the processor: a tensor of strings lives in its memory alone, and an
// operator of ours cannot say that one of its outputs does.
#include <stdlib.h>
#include <string.h>

#include "cuda_forest.h"

typedef struct {
  const OrtApi *api;
  const mr_cuda_device *device;
  mr_cuda_forest forest;
  mr_cu_pointer memory;
  uint32_t width;
} trees;

static void ORT_API_CALL destroy(void *kernel) {
  trees *k = kernel;
  mr_cuda_free(k->device, k->memory);
  free(k);
}

static OrtStatus *place(const OrtApi *api, trees *k, const mr_forest *f, const uint8_t *bytes, const int64_t *labels) {
  k->width = f->width;
  if (!mr_cuda_forest_build(f, bytes, labels, k->device->shared_block, &k->forest))
    return api->CreateStatus(ORT_FAIL, "Failed to allocate memory for trees");
  OrtStatus *status = mr_cuda_upload(api, k->device, k->forest.image, k->forest.bytes, &k->memory);
  free(k->forest.image);
  k->forest.image = NULL;
  if (!status) mr_cuda_forest_place(&k->forest, k->memory);
  return status;
}

// labels [targets] are to be freed.
static OrtStatus *read_labels(const OrtApi *api, const OrtKernelInfo *info, const mr_forest *f, int64_t **labels) {
  uint8_t *bytes;
  size_t size;
  TRY(mr_op_attribute(api, info, "labels", &bytes, &size));
  *labels = (int64_t *)bytes; // of malloc, and so aligned
  if (f->classifier && f->targets >= 2 && size == f->targets * sizeof **labels) return NULL;
  return api->CreateStatus(ORT_INVALID_GRAPH, "labels and classes do not fit each other");
}

static OrtStatus *read_forest(const OrtApi *api, const OrtKernelInfo *info, int classifier, trees *k) {
  uint8_t *bytes;
  size_t size;
  int64_t *labels = NULL;
  const char *error;
  TRY(mr_op_attribute(api, info, "forest", &bytes, &size));
  // The processor's form is thrown away: reading it checks every byte.
  mr_forest *f = mr_forest_read(bytes, size, &error);
  OrtStatus *status = f ? NULL : api->CreateStatus(ORT_INVALID_GRAPH, error);
  if (!status && f->chains) status = api->CreateStatus(ORT_INVALID_GRAPH, "chains of splits on equality, which devices do not know");
  if (!status && classifier) status = read_labels(api, info, f, &labels);
  if (!status) status = place(api, k, f, bytes, labels);
  free(labels);
  mr_forest_free(f);
  free(bytes);
  return status;
}

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, int classifier, void **kernel) {
  const mr_cuda_device *device;
  TRY(mr_cuda_open(api, ((const mr_cuda_op *)op)->device, &device));
  trees *k = calloc(1, sizeof *k);
  if (!k) return api->CreateStatus(ORT_FAIL, "Failed to allocate memory for trees");
  k->api = api;
  k->device = device;
  OrtStatus *status = read_forest(api, info, classifier, k);
  if (status)
    destroy(k);
  else
    *kernel = k;
  return status;
}

static OrtStatus *ORT_API_CALL create_regressor(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                                void **kernel) {
  return create(op, api, info, 0, kernel);
}

static OrtStatus *ORT_API_CALL create_ints(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                           void **kernel) {
  return create(op, api, info, 1, kernel);
}

// Computes with scores as output i.
static OrtStatus *compute(const trees *k, OrtKernelContext *context, size_t i) {
  mr_cuda_trees a = k->forest.arguments;
  mr_matrix x;
  size_t rows, stride;
  TRY(mr_op_input(k->api, context, &x));
  TRY(mr_trees_shape(k->api, &x, k->width, &rows, &stride));
  const int64_t dims[] = {(int64_t)rows, a.finish.targets};
  OrtValue *value;
  void *out, *label = NULL;
  if (i) TRY(mr_op_output(k->api, context, 0, dims, 1, &value, &label));
  TRY(mr_op_output(k->api, context, i, dims, 2, &value, &out));
  a.x = x.data;
  a.rows = rows;
  a.stride = stride;
  a.out = out;
  a.label = label;
  const mr_cuda_launch launch = mr_cuda_forest_launch(&k->forest, k->device, &a);
  return mr_cuda_run(k->api, k->device, context, launch, &a);
}

static OrtStatus *ORT_API_CALL compute_regressor(void *kernel, OrtKernelContext *context) {
  return compute(kernel, context, 0);
}

static OrtStatus *ORT_API_CALL compute_ints(void *kernel, OrtKernelContext *context) { return compute(kernel, context, 1); }

void mr_cuda_trees_regressor(OrtCustomOp *op) {
  *op = mr_op_trees_regressor;
  op->CreateKernelV2 = create_regressor;
  op->KernelComputeV2 = compute_regressor;
  op->KernelDestroy = destroy;
}

void mr_cuda_trees_classifier_ints(OrtCustomOp *op) {
  *op = mr_op_trees_classifier_ints;
  op->CreateKernelV2 = create_ints;
  op->KernelComputeV2 = compute_ints;
  op->KernelDestroy = destroy;
}
