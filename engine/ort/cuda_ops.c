#include <pthread.h>
#include <stdlib.h>

#include "cuda.h"

enum { OPERATORS = 4 };

// Each device has operators and a domain of its own, which serve all sessions on
// it and are never released, as those of the processor are not.
typedef struct {
  mr_cuda_op ops[OPERATORS];
  OrtCustomOpDomain *domain;
} device_ops;

static struct {
  pthread_mutex_t mu;
  device_ops *devices[MR_CUDA_MOST_DEVICES];
} shared = {.mu = PTHREAD_MUTEX_INITIALIZER};

static const char *ORT_API_CALL provider(const OrtCustomOp *op) {
  return (void)op, mr_cuda_stand_in_device() >= 0 ? NULL : "CUDAExecutionProvider";
}

static OrtStatus *fill(const OrtApi *api, device_ops *d, int device) {
  static void (*const make[OPERATORS])(OrtCustomOp *) = {mr_cuda_trees_regressor, mr_cuda_trees_classifier_ints,
                                                         mr_cuda_affine_op, mr_cuda_linear_op};
  for (int i = 0; i < OPERATORS; i++) {
    make[i](&d->ops[i].op);
    d->ops[i].op.GetExecutionProviderType = provider;
    d->ops[i].device = device;
    TRY(api->CustomOpDomain_Add(d->domain, &d->ops[i].op));
  }
  // On the processor, for a graph that has it; see op_trees_cuda.c.
  return api->CustomOpDomain_Add(d->domain, &mr_op_trees_classifier_strings);
}

static OrtStatus *make(const OrtApi *api, int device, device_ops **out) {
  device_ops *d = calloc(1, sizeof *d);
  if (!d) return api->CreateStatus(ORT_FAIL, "Failed to allocate memory for operators");
  OrtStatus *status = api->CreateCustomOpDomain("millrace", &d->domain);
  if (!status) status = fill(api, d, device);
  if (!status) {
    *out = d;
    return NULL;
  }
  if (d->domain) api->ReleaseCustomOpDomain(d->domain);
  free(d);
  return status;
}

OrtStatus *mr_cuda_ops_add(const OrtApi *api, OrtSessionOptions *options, int device) {
  if (device < 0 || device >= MR_CUDA_MOST_DEVICES) return api->CreateStatus(ORT_INVALID_ARGUMENT, "CUDA: no such device");
  pthread_mutex_lock(&shared.mu);
  OrtStatus *status = NULL;
  mr_ops_api = api;
  if (!shared.devices[device]) status = make(api, device, &shared.devices[device]);
  const device_ops *d = shared.devices[device];
  pthread_mutex_unlock(&shared.mu);
  return status ? status : api->AddCustomOpDomain(options, d->domain);
}
