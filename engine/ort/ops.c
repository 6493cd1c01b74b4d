#include "ops.h"

#include <pthread.h>
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
  OrtStatus *status = shape_of(api, t, out);
  api->ReleaseTensorTypeAndShapeInfo(t);
  if (status) return status;
  const void *data;
  TRY(api->GetTensorData(value, &data));
  out->data = data;
  return NULL;
}

OrtStatus *mr_op_output(const OrtApi *api, OrtKernelContext *context, size_t i, const int64_t *dims, size_t rank,
                        OrtValue **value, void **data) {
  TRY(api->KernelContext_GetOutput(context, i, dims, rank, value));
  return data ? api->GetTensorMutableData(*value, data) : NULL;
}

OrtStatus *mr_op_infer_rows(const OrtApi *api, OrtShapeInferContext *context, size_t i, int64_t width, size_t rank,
                            ONNXTensorElementDataType elem) {
  OrtTensorTypeAndShapeInfo *in, *out = NULL;
  TRY(api->ShapeInferContext_GetInputTypeShape(context, 0, &in)); // the context's, not ours to release
  size_t n;
  TRY(api->GetDimensionsCount(in, &n));
  if (n == 0 || n > 8) return NULL;
  int64_t dims[8], ours[2] = {1, width};
  const char *names[8], *our_names[2] = {"", ""};
  TRY(api->GetDimensions(in, dims, n));
  TRY(api->GetSymbolicDimensions(in, names, n));
  if (n > 1) {
    ours[0] = dims[0];
    our_names[0] = names[0] ? names[0] : "";
  }
  TRY(api->CreateTensorTypeAndShapeInfo(&out));
  OrtStatus *status = api->SetTensorElementType(out, elem);
  if (!status) status = api->SetDimensions(out, ours, rank);
  if (!status) status = api->SetSymbolicDimensions(out, our_names, rank);
  if (!status) status = api->ShapeInferContext_SetOutputTypeShape(context, i, out);
  api->ReleaseTensorTypeAndShapeInfo(out);
  return status;
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
OrtCustomOpInputOutputCharacteristic ORT_API_CALL mr_op_required(const OrtCustomOp *op, size_t i) {
  return (void)op, (void)i, INPUT_OUTPUT_REQUIRED;
}
OrtMemType ORT_API_CALL mr_op_memory(const OrtCustomOp *op, size_t i) { return (void)op, (void)i, OrtMemTypeDefault; }
const char *ORT_API_CALL mr_op_provider(const OrtCustomOp *op) { return (void)op, (const char *)NULL; }
int ORT_API_CALL mr_op_version(const OrtCustomOp *op) { return (void)op, 1; }
int ORT_API_CALL mr_op_zero(const OrtCustomOp *op) { return (void)op, 0; }
