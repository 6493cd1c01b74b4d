#include "ops.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"

const OrtApi *mr_ops_api;

static int limit = MR_AVX512;

void mr_limit_level(int level) { __atomic_store_n(&limit, level, __ATOMIC_RELAXED); }

mr_level mr_kernel_level(void) {
  int level = MR_PLAIN;
#ifdef __x86_64__
  // The builtin asks the system as well, which must save the wide registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) level = MR_AVX2;
  if (level == MR_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    level = MR_AVX512;
#endif
  int allowed = __atomic_load_n(&limit, __ATOMIC_RELAXED);
  return (mr_level)(level < allowed ? level : allowed);
}

int mr_level_now(void) { return mr_kernel_level(); }

const char *mr_level_name(int level) {
  switch (level) {
    case MR_AVX512: return "avx512";
    case MR_AVX2: return "avx2";
    default: return "plain";
  }
}

// One domain serves all sessions and is never released, as ONNX Runtime's
// environment is not.
static struct {
  pthread_mutex_t mu;
  OrtCustomOpDomain *domain;
} shared = {.mu = PTHREAD_MUTEX_INITIALIZER};

static OrtStatus *make_domain(const OrtApi *api, OrtCustomOpDomain **out) {
  static const OrtCustomOp *const all[] = {
      &mr_op_trees_regressor, &mr_op_trees_classifier_ints, &mr_op_trees_classifier_strings,
      &mr_op_affine, &mr_op_linear, &mr_op_dense,
  };
  OrtCustomOpDomain *domain;
  TRY(api->CreateCustomOpDomain("millrace", &domain));
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    OrtStatus *status = api->CustomOpDomain_Add(domain, all[i]);
    if (status) {
      api->ReleaseCustomOpDomain(domain);
      return status;
    }
  }
  *out = domain;
  return NULL;
}

OrtStatus *mr_ops_add(const OrtApi *api, OrtSessionOptions *options) {
  const int device = mr_cuda_stand_in_device();
  if (device >= 0) return mr_cuda_ops_add(api, options, device);
  pthread_mutex_lock(&shared.mu);
  OrtStatus *status = NULL;
  mr_ops_api = api;
  if (!shared.domain) status = make_domain(api, &shared.domain);
  OrtCustomOpDomain *domain = shared.domain;
  pthread_mutex_unlock(&shared.mu);
  return status ? status : api->AddCustomOpDomain(options, domain);
}

OrtStatus *mr_op_attribute(const OrtApi *api, const OrtKernelInfo *info, const char *name, uint8_t **bytes, size_t *size) {
  size_t n = 0;
  TRY(api->KernelInfoGetAttribute_string(info, name, NULL, &n));
  uint8_t *p = malloc(n + 1);
  if (!p) return api->CreateStatus(ORT_FAIL, "Failed to allocate memory for an attribute");
  OrtStatus *status = api->KernelInfoGetAttribute_string(info, name, (char *)p, &n);
  if (status) {
    free(p);
    return status;
  }
  *bytes = p;
  *size = n ? n - 1 : 0;
  return NULL;
}

static OrtStatus *shape_of(const OrtApi *api, const OrtTensorTypeAndShapeInfo *t, mr_matrix *out) {
  TRY(api->GetDimensionsCount(t, &out->rank));
  if (out->rank > sizeof out->dims / sizeof *out->dims)
    return api->CreateStatus(ORT_INVALID_ARGUMENT, "a millrace operator takes at most 8 dimensions");
  TRY(api->GetDimensions(t, out->dims, out->rank));
  return api->GetTensorShapeElementCount(t, &out->elements);
}

OrtStatus *mr_op_input(const OrtApi *api, OrtKernelContext *context, mr_matrix *out) {
  const OrtValue *value;
  OrtTensorTypeAndShapeInfo *t;
  TRY(api->KernelContext_GetInput(context, 0, &value));
  TRY(api->GetTensorTypeAndShape(value, &t));
  ONNXTensorElementDataType elem;
  OrtStatus *status = shape_of(api, t, out);
  if (!status) status = api->GetTensorElementType(t, &elem);
  api->ReleaseTensorTypeAndShapeInfo(t);
  if (status) return status;
  const void *data;
  TRY(api->GetTensorData(value, &data));
  out->data = data;
  out->columns = (mr_columns){0};
  if (elem == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return NULL;
  if (elem != ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 || !mr_columns_read(data, out->elements, &out->columns, &out->data))
    return api->CreateStatus(ORT_INVALID_ARGUMENT, "the input is neither of float nor columns");
  out->rank = 2;
  out->dims[0] = (int64_t)out->columns.rows;
  out->dims[1] = (int64_t)out->columns.width;
  out->elements = out->columns.rows * out->columns.width;
  return NULL;
}

OrtStatus *mr_op_output(const OrtApi *api, OrtKernelContext *context, size_t i, const int64_t *dims, size_t rank,
                        OrtValue **value, void **data) {
  TRY(api->KernelContext_GetOutput(context, i, dims, rank, value));
  return data ? api->GetTensorMutableData(*value, data) : NULL;
}

// Shapes are inferred again and again, by several sessions at once.
static uint64_t unknown_dims;

// A size that is neither known nor named would be taken for the number -1 by what
// computes with shapes, so each has a name that no other has.
static OrtStatus *set_shape(const OrtApi *api, OrtShapeInferContext *context, size_t i, ONNXTensorElementDataType elem,
                            size_t rank, const int64_t *dims, const char **names) {
  char unknown[8][32];
  for (size_t d = 0; d < rank; d++) {
    if (dims[d] >= 0 || names[d][0]) continue;
    snprintf(unknown[d], sizeof *unknown, "millrace_%llu", (unsigned long long)__atomic_add_fetch(&unknown_dims, 1, __ATOMIC_RELAXED));
    names[d] = unknown[d];
  }
  OrtTensorTypeAndShapeInfo *out = NULL;
  TRY(api->CreateTensorTypeAndShapeInfo(&out));
  OrtStatus *status = api->SetTensorElementType(out, elem);
  if (!status) status = api->SetDimensions(out, dims, rank);
  if (!status) status = api->SetSymbolicDimensions(out, names, rank);
  if (!status) status = api->ShapeInferContext_SetOutputTypeShape(context, i, out);
  api->ReleaseTensorTypeAndShapeInfo(out);
  return status;
}

// The shape of the first input; rank 0 where it is not known, or has more than 8 dimensions.
static OrtStatus *input_shape(const OrtApi *api, OrtShapeInferContext *context, size_t *rank, int64_t *dims, const char **names) {
  OrtTensorTypeAndShapeInfo *in;
  TRY(api->ShapeInferContext_GetInputTypeShape(context, 0, &in)); // the context's, not ours to release
  TRY(api->GetDimensionsCount(in, rank));
  if (*rank > 8) *rank = 0;
  TRY(api->GetDimensions(in, dims, *rank));
  TRY(api->GetSymbolicDimensions(in, names, *rank));
  for (size_t d = 0; d < *rank; d++)
    if (!names[d]) names[d] = "";
  return NULL;
}

OrtStatus *mr_op_infer_rows(const OrtApi *api, OrtShapeInferContext *context, size_t i, int64_t width, size_t rank,
                            ONNXTensorElementDataType elem) {
  size_t n;
  int64_t dims[8], ours[2] = {1, width};
  const char *names[8], *our_names[2] = {"", ""};
  TRY(input_shape(api, context, &n, dims, names));
  if (n == 0) return NULL;
  if (n > 1) {
    ours[0] = dims[0];
    our_names[0] = names[0];
  }
  return set_shape(api, context, i, elem, rank, ours, our_names);
}

OrtStatus *mr_op_infer_same(const OrtApi *api, OrtShapeInferContext *context, ONNXTensorElementDataType elem) {
  size_t n;
  int64_t dims[8];
  const char *names[8];
  TRY(input_shape(api, context, &n, dims, names));
  return n == 0 ? NULL : set_shape(api, context, 0, elem, n, dims, names);
}

int64_t mr_op_infer_int(const OrtApi *api, OrtShapeInferContext *context, const char *name) {
  const OrtOpAttr *attribute;
  int64_t n = -1;
  size_t size = 0;
  OrtStatus *status = api->ShapeInferContext_GetAttribute(context, name, &attribute);
  if (!status) status = api->ReadOpAttr(attribute, ORT_OP_ATTR_INT, &n, sizeof n, &size);
  if (status) api->ReleaseStatus(status);
  return status ? -1 : n;
}

size_t ORT_API_CALL mr_op_one(const OrtCustomOp *op) { return (void)op, 1; }
size_t ORT_API_CALL mr_op_two(const OrtCustomOp *op) { return (void)op, 2; }
ONNXTensorElementDataType ORT_API_CALL mr_op_float(const OrtCustomOp *op, size_t i) {
  return (void)op, (void)i, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}
ONNXTensorElementDataType ORT_API_CALL mr_op_any(const OrtCustomOp *op, size_t i) {
  return (void)op, (void)i, ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}
OrtCustomOpInputOutputCharacteristic ORT_API_CALL mr_op_required(const OrtCustomOp *op, size_t i) {
  return (void)op, (void)i, INPUT_OUTPUT_REQUIRED;
}
OrtMemType ORT_API_CALL mr_op_memory(const OrtCustomOp *op, size_t i) { return (void)op, (void)i, OrtMemTypeDefault; }
const char *ORT_API_CALL mr_op_provider(const OrtCustomOp *op) { return (void)op, (const char *)NULL; }
int ORT_API_CALL mr_op_version(const OrtCustomOp *op) { return (void)op, 1; }
int ORT_API_CALL mr_op_zero(const OrtCustomOp *op) { return (void)op, 0; }
