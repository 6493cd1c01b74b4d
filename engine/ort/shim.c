#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "include/onnxruntime_c_api.h"
#include "ops.h"
#include "spread.h"

// Set once, before any call that needs them (Load holds a lock), and never
// unset: the library stays loaded until the process ends.
static const OrtApi *api;
static OrtEnv *env;
static OrtMemoryInfo *cpu_memory;
static OrtAllocator *allocator;

typedef const OrtApiBase *(*get_api_base)(void);

// keep_memory has malloc keep what is freed, for the next session or Run. Large
// blocks too come from what is kept, up to what malloc allows.
__attribute__((constructor)) static void keep_memory(void) {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

enum { ROOM = 16 << 20, HUGE = 2 << 20 };

// make_room has malloc ask for address space once, and for huge pages in it. On a
// thread other than the first it grows page by page otherwise, each by a system
// call that locks out other threads' page faults: 2,000 of them, 15 ms, for the
// library and a small model. Pages that are not used cost nothing.
static void make_room(size_t bytes) {
  void *volatile room = malloc(bytes);
  if (!room) return;
  uintptr_t from = ((uintptr_t)room + HUGE - 1) & -(uintptr_t)HUGE, to = ((uintptr_t)room + bytes) & -(uintptr_t)HUGE;
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
  free(room);
}

// stay_silent keeps Microsoft's builds for Linux from gathering what is run, in a database
// below the user's cache folder, and sending it to them: since 1.31 they do so unless this
// is set when the library is loaded. Whatever the user has set it to: a scoring run tells
// nobody. Source: onnxruntime:docs/Privacy.md.
static void stay_silent(void) { setenv("ORT_DISABLE_TELEMETRY", "1", 1); }

void mr_open(const char *path, mr_library *out) {
  memset(out, 0, sizeof *out);
  stay_silent();
  make_room(ROOM);
  // Nothing here may depend on symbols of another ONNX Runtime in the process.
  out->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!out->handle) {
    out->error = dlerror();
    return;
  }
  void *f = dlsym(out->handle, "OrtGetApiBase");
  if (!f) {
    out->error = "it is a library, but not ONNX Runtime: it has no OrtGetApiBase";
    return;
  }
  out->version = ((get_api_base)f)()->GetVersionString();
  Dl_info info;
  if (dladdr(f, &info)) out->path = info.dli_fname;
}

void mr_close(mr_library *lib) {
  if (lib->handle) dlclose(lib->handle);
  memset(lib, 0, sizeof *lib);
}

int mr_use(mr_library *lib) {
  const OrtApi *found = ((get_api_base)dlsym(lib->handle, "OrtGetApiBase"))()->GetApi(ORT_API_VERSION);
  if (found) api = found;
  return found != NULL;
}

// The log: a ring, because ONNX Runtime logs from threads of its own, where a
// call into Go would cost a thread of Go's.
enum { LOG_ENTRIES = 128 };
static struct {
  pthread_mutex_t mu;
  uint64_t end;
  struct {
    int severity;
    char text[MR_LOG_TEXT];
  } entries[LOG_ENTRIES];
} logged = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void ORT_API_CALL log_message(void *param, OrtLoggingLevel severity, const char *category, const char *logid,
                                     const char *code_location, const char *message) {
  (void)param, (void)category, (void)logid;
  pthread_mutex_lock(&logged.mu);
  uint64_t end = logged.end;
  size_t i = end % LOG_ENTRIES;
  __atomic_store_n(&logged.end, end + 1, __ATOMIC_RELAXED);
  logged.entries[i].severity = severity;
  snprintf(logged.entries[i].text, MR_LOG_TEXT, "%s (%s)", message, code_location);
  pthread_mutex_unlock(&logged.mu);
}

uint64_t mr_log_end(void) {
  pthread_mutex_lock(&logged.mu);
  uint64_t end = logged.end;
  pthread_mutex_unlock(&logged.mu);
  return end;
}

int mr_log_read(uint64_t seq, int *severity, char *text) {
  pthread_mutex_lock(&logged.mu);
  int there = seq < logged.end && logged.end - seq <= LOG_ENTRIES;
  if (there) {
    *severity = logged.entries[seq % LOG_ENTRIES].severity;
    memcpy(text, logged.entries[seq % LOG_ENTRIES].text, MR_LOG_TEXT);
  }
  pthread_mutex_unlock(&logged.mu);
  return there;
}

OrtStatus *mr_create_env(void) {
  make_room(ROOM);
  TRY(api->CreateEnvWithCustomLogger(log_message, NULL, ORT_LOGGING_LEVEL_WARNING, "millrace", &env));
  TRY(api->DisableTelemetryEvents(env)); // of builds that know no variable
  TRY(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &cpu_memory));
  return api->GetAllocatorWithDefaultOptions(&allocator);
}

OrtStatus *mr_providers(char ***names, int *count) { return api->GetAvailableProviders(names, count); }

void mr_free_providers(char **names, int count) {
  OrtStatus *status = api->ReleaseAvailableProviders(names, count);
  if (status) api->ReleaseStatus(status);
}

int mr_status_code(const OrtStatus *status) { return api->GetErrorCode(status); }
const char *mr_status_message(const OrtStatus *status) { return api->GetErrorMessage(status); }
void mr_release_status(OrtStatus *status) { api->ReleaseStatus(status); }

OrtStatus *mr_create_session(const void *model, size_t bytes, const OrtSessionOptions *options, OrtSession **out) {
  make_room(ROOM);
  return api->CreateSessionFromArray(env, model, bytes, options, out);
}

OrtStatus *mr_add_operators(OrtSessionOptions *options) { return mr_ops_add(api, options); }
OrtStatus *mr_add_device_operators(OrtSessionOptions *options, int device) {
  return mr_cuda_ops_add(api, options, device);
}

OrtStatus *mr_append_cuda(OrtSessionOptions *options, const char *const *keys, const char *const *values, size_t n) {
  OrtCUDAProviderOptionsV2 *cuda = NULL;
  TRY(api->CreateCUDAProviderOptions(&cuda));
  OrtStatus *status = api->UpdateCUDAProviderOptions(cuda, keys, values, n);
  if (!status) status = api->SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda);
  api->ReleaseCUDAProviderOptions(cuda);
  return status;
}

OrtStatus *mr_append_tensorrt(OrtSessionOptions *options, const char *const *keys, const char *const *values, size_t n) {
  OrtTensorRTProviderOptionsV2 *tensorrt = NULL;
  TRY(api->CreateTensorRTProviderOptions(&tensorrt));
  OrtStatus *status = api->UpdateTensorRTProviderOptions(tensorrt, keys, values, n);
  if (!status) status = api->SessionOptionsAppendExecutionProvider_TensorRT_V2(options, tensorrt);
  api->ReleaseTensorRTProviderOptions(tensorrt);
  return status;
}

OrtStatus *mr_placement(const OrtSession *session, mr_node *out, size_t room, size_t *n) {
  const OrtEpAssignedSubgraph *const *graphs;
  size_t n_graphs;
  *n = 0;
  TRY(api->Session_GetEpGraphAssignmentInfo(session, &graphs, &n_graphs));
  for (size_t i = 0; i < n_graphs; i++) {
    mr_node node;
    const OrtEpAssignedNode *const *nodes;
    size_t n_nodes;
    TRY(api->EpAssignedSubgraph_GetEpName(graphs[i], &node.provider));
    TRY(api->EpAssignedSubgraph_GetNodes(graphs[i], &nodes, &n_nodes));
    for (size_t k = 0; k < n_nodes; k++, ++*n) {
      if (*n >= room) continue;
      TRY(api->EpAssignedNode_GetDomain(nodes[k], &node.domain));
      TRY(api->EpAssignedNode_GetOperatorType(nodes[k], &node.op));
      TRY(api->EpAssignedNode_GetName(nodes[k], &node.name));
      out[*n] = node;
    }
  }
  return NULL;
}

void mr_release_session(OrtSession *session) { api->ReleaseSession(session); }

OrtStatus *mr_session_memory(const OrtSession *session, int64_t *used, int64_t *peak) {
  OrtAllocator *arena;
  OrtKeyValuePairs *pairs = NULL;
  *used = *peak = 0;
  TRY(api->CreateAllocator(session, cpu_memory, &arena));
  OrtStatus *status = api->AllocatorGetStats(arena, &pairs);
  if (!status) {
    const char *now = api->GetKeyValue(pairs, "InUse"), *most = api->GetKeyValue(pairs, "MaxInUse");
    if (now && most) *used = atoll(now), *peak = atoll(most);
    api->ReleaseKeyValuePairs(pairs);
  }
  api->ReleaseAllocator(arena);
  return status;
}

OrtStatus *mr_session_counts(const OrtSession *session, size_t *inputs, size_t *outputs) {
  TRY(api->SessionGetInputCount(session, inputs));
  return api->SessionGetOutputCount(session, outputs);
}

static OrtStatus *tensor_info(const OrtTensorTypeAndShapeInfo *t, mr_info *out) {
  enum ONNXTensorElementDataType elem;
  TRY(api->GetTensorElementType(t, &elem));
  out->elem = elem;
  out->has_shape = api->TensorTypeAndShape_HasShape(t);
  TRY(api->GetDimensionsCount(t, &out->rank));
  if (out->rank > MR_MAX_RANK) return api->CreateStatus(ORT_NOT_IMPLEMENTED, "more than 32 dimensions");
  TRY(api->GetDimensions(t, out->dims, out->rank));
  const char *params[MR_MAX_RANK];
  TRY(api->GetSymbolicDimensions(t, params, out->rank));
  for (size_t i = 0; i < out->rank; i++) out->params[i] = strdup(params[i] ? params[i] : "");
  return NULL;
}

static OrtStatus *type_info(const OrtTypeInfo *type, mr_info *out, int *kind) {
  enum ONNXType t;
  TRY(api->GetOnnxTypeFromTypeInfo(type, &t));
  *kind = t;
  OrtStatus *status = NULL;
  switch (t) {
    case ONNX_TYPE_TENSOR:
    case ONNX_TYPE_SPARSETENSOR: {
      const OrtTensorTypeAndShapeInfo *tensor = NULL;
      TRY(api->CastTypeInfoToTensorInfo(type, &tensor));
      return tensor ? tensor_info(tensor, out) : NULL;
    }
    case ONNX_TYPE_MAP: {
      const OrtMapTypeInfo *map = NULL;
      enum ONNXTensorElementDataType key;
      OrtTypeInfo *value = NULL;
      int ignored;
      TRY(api->CastTypeInfoToMapTypeInfo(type, &map));
      TRY(api->GetMapKeyType(map, &key));
      out->key = key;
      TRY(api->GetMapValueType(map, &value));
      status = type_info(value, out, &ignored);
      api->ReleaseTypeInfo(value);
      return status;
    }
    case ONNX_TYPE_SEQUENCE: {
      const OrtSequenceTypeInfo *sequence = NULL;
      OrtTypeInfo *elem = NULL;
      TRY(api->CastTypeInfoToSequenceTypeInfo(type, &sequence));
      TRY(api->GetSequenceElementType(sequence, &elem));
      status = type_info(elem, out, &out->inner);
      api->ReleaseTypeInfo(elem);
      return status;
    }
    case ONNX_TYPE_OPTIONAL: {
      const OrtOptionalTypeInfo *optional = NULL;
      OrtTypeInfo *elem = NULL;
      TRY(api->CastTypeInfoToOptionalTypeInfo(type, &optional));
      TRY(api->GetOptionalContainedTypeInfo(optional, &elem));
      status = type_info(elem, out, &out->inner);
      api->ReleaseTypeInfo(elem);
      return status;
    }
    default:
      return NULL;
  }
}

OrtStatus *mr_session_info(const OrtSession *session, int output, size_t i, mr_info *out) {
  memset(out, 0, sizeof *out);
  char *name = NULL;
  OrtTypeInfo *type = NULL;
  TRY(output ? api->SessionGetOutputName(session, i, allocator, &name)
             : api->SessionGetInputName(session, i, allocator, &name));
  out->name = strdup(name);
  allocator->Free(allocator, name);
  TRY(output ? api->SessionGetOutputTypeInfo(session, i, &type) : api->SessionGetInputTypeInfo(session, i, &type));
  OrtStatus *status = type_info(type, out, &out->kind);
  api->ReleaseTypeInfo(type);
  return status;
}

void mr_free_info(mr_info *info) {
  free(info->name);
  for (size_t i = 0; i < MR_MAX_RANK; i++) free(info->params[i]);
  memset(info, 0, sizeof *info);
}

OrtStatus *mr_create_run_options(OrtRunOptions **out) { return api->CreateRunOptions(out); }
void mr_release_run_options(OrtRunOptions *options) { api->ReleaseRunOptions(options); }
OrtStatus *mr_terminate(OrtRunOptions *options) { return api->RunOptionsSetTerminate(options); }
OrtStatus *mr_unset_terminate(OrtRunOptions *options) { return api->RunOptionsUnsetTerminate(options); }

OrtStatus *mr_run(OrtSession *session, const OrtRunOptions *options, char **input_names, OrtValue **inputs,
                  size_t n_inputs, char **output_names, size_t n_outputs, OrtValue **outputs, uint64_t *log_begin) {
  *log_begin = __atomic_load_n(&logged.end, __ATOMIC_RELAXED);
  int slot = mr_spread_begin();
  OrtStatus *status = api->Run(session, options, (const char *const *)input_names, (const OrtValue *const *)inputs,
                               n_inputs, (const char *const *)output_names, n_outputs, outputs);
  mr_spread_end(slot);
  return status;
}

// Data of an empty tensor: ONNX Runtime takes no NULL.
static int64_t nothing[2];

OrtStatus *mr_tensor_over(void *data, size_t bytes, const int64_t *dims, size_t rank, int elem, OrtValue **out) {
  return api->CreateTensorWithDataAsOrtValue(cpu_memory, data ? data : nothing, bytes, dims, rank,
                                             (ONNXTensorElementDataType)elem, out);
}

OrtStatus *mr_device_tensor(int device, uint64_t memory, size_t bytes, const int64_t *dims, size_t rank, int elem,
                            OrtValue **out) {
  OrtMemoryInfo *info = NULL;
  TRY(api->CreateMemoryInfo("Cuda", OrtDeviceAllocator, device, OrtMemTypeDefault, &info));
  OrtStatus *status = api->CreateTensorWithDataAsOrtValue(info, (void *)(uintptr_t)memory, bytes, dims, rank,
                                                          (ONNXTensorElementDataType)elem, out);
  api->ReleaseMemoryInfo(info);
  return status;
}

OrtStatus *mr_string_tensor(const int64_t *dims, size_t rank, OrtValue **out) {
  return api->CreateTensorAsOrtValue(allocator, dims, rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, out);
}

void mr_release_value(OrtValue *value) { api->ReleaseValue(value); }

OrtStatus *mr_describe(OrtValue *value, mr_value *out) {
  memset(out, 0, sizeof *out);
  enum ONNXType kind;
  TRY(api->GetValueType(value, &kind));
  out->kind = kind;
  if (kind != ONNX_TYPE_TENSOR) return NULL;
  OrtTensorTypeAndShapeInfo *t = NULL;
  TRY(api->GetTensorTypeAndShape(value, &t));
  enum ONNXTensorElementDataType elem = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  OrtStatus *status = api->GetTensorElementType(t, &elem);
  if (!status) status = api->GetDimensionsCount(t, &out->rank);
  if (!status && out->rank > MR_MAX_RANK) status = api->CreateStatus(ORT_NOT_IMPLEMENTED, "more than 32 dimensions");
  if (!status) status = api->GetDimensions(t, out->dims, out->rank);
  api->ReleaseTensorTypeAndShapeInfo(t);
  out->elem = elem;
  if (!status && elem != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) status = api->GetTensorMutableData(value, &out->data);
  return status;
}

// Each element's std::string is sized and written in place, so a refill reuses
// its memory.
#define FILL_STRINGS                                                                    \
  for (size_t i = 0; i < n; i++) {                                                      \
    size_t length = (size_t)(offsets[i + 1] - offsets[i]);                              \
    char *buffer;                                                                       \
    TRY(api->GetResizedStringTensorElementBuffer(value, i, length, &buffer));           \
    if (length) memcpy(buffer, data + offsets[i], length);                              \
  }                                                                                     \
  return NULL;

OrtStatus *mr_fill_strings32(OrtValue *value, const int32_t *offsets, const char *data, size_t n) { FILL_STRINGS }
OrtStatus *mr_fill_strings64(OrtValue *value, const int64_t *offsets, const char *data, size_t n) { FILL_STRINGS }

OrtStatus *mr_strings_bytes(const OrtValue *value, size_t *bytes) {
  return api->GetStringTensorDataLength(value, bytes);
}

OrtStatus *mr_strings_read(const OrtValue *value, char *data, size_t bytes, size_t *starts, size_t n) {
  return api->GetStringTensorContent(value, data ? data : (char *)nothing, bytes, starts, n);
}

OrtStatus *mr_count(const OrtValue *sequence, size_t *n) { return api->GetValueCount(sequence, n); }

OrtStatus *mr_map(const OrtValue *sequence, size_t i, OrtValue **keys, OrtValue **values) {
  OrtValue *map = NULL;
  *keys = *values = NULL;
  TRY(api->GetValue(sequence, (int)i, allocator, &map));
  OrtStatus *status = api->GetValue(map, 0, allocator, keys);
  if (!status) status = api->GetValue(map, 1, allocator, values);
  api->ReleaseValue(map);
  if (status && *keys) {
    api->ReleaseValue(*keys);
    *keys = NULL;
  }
  return status;
}

// Copies a map's values when it has n of them, float; *same says whether.
static OrtStatus *map_values(OrtValue *values, size_t n, float *out, int *same) {
  mr_value v;
  TRY(mr_describe(values, &v));
  *same = v.elem == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && v.rank == 1 && v.dims[0] == (int64_t)n;
  if (*same && n) memcpy(out, v.data, n * sizeof *out);
  return NULL;
}

OrtStatus *mr_maps_int64(const OrtValue *sequence, size_t rows, const int64_t *want, size_t classes, float *out,
                         size_t *row) {
  for (*row = 0; *row < rows; ++*row) {
    OrtValue *keys, *values;
    mr_value k;
    int same = 0;
    TRY(mr_map(sequence, *row, &keys, &values));
    OrtStatus *status = map_values(values, classes, out + *row * classes, &same);
    if (!status) status = mr_describe(keys, &k);
    if (!status)
      same = same && k.elem == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 && k.rank == 1 && k.dims[0] == (int64_t)classes &&
             (classes == 0 || memcmp(k.data, want, classes * sizeof *want) == 0);
    api->ReleaseValue(keys);
    api->ReleaseValue(values);
    if (status || !same) return status;
  }
  return NULL;
}

OrtStatus *mr_maps_string(const OrtValue *sequence, size_t rows, const size_t *want_starts, const char *want,
                          size_t bytes, size_t classes, float *out, size_t *row) {
  *row = 0;
  char *text = malloc(bytes + 1);
  size_t *starts = malloc((classes + 1) * sizeof *starts);
  OrtStatus *status = NULL;
  if (!text || !starts) status = api->CreateStatus(ORT_FAIL, "Failed to allocate memory for the labels of a map");
  for (; !status && *row < rows; ++*row) {
    OrtValue *keys, *values;
    mr_value k;
    size_t length = 0;
    int same = 0;
    status = mr_map(sequence, *row, &keys, &values);
    if (status) break;
    status = map_values(values, classes, out + *row * classes, &same);
    if (!status) status = mr_describe(keys, &k);
    if (!status)
      same = same && k.elem == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING && k.rank == 1 && k.dims[0] == (int64_t)classes;
    if (!status && same) status = api->GetStringTensorDataLength(keys, &length);
    same = same && length == bytes;
    if (!status && same) status = api->GetStringTensorContent(keys, text, bytes, starts, classes);
    same = same && !status && memcmp(text, want, bytes) == 0 && memcmp(starts, want_starts, classes * sizeof *starts) == 0;
    api->ReleaseValue(keys);
    api->ReleaseValue(values);
    if (!same) break;
  }
  free(text);
  free(starts);
  return status;
}
