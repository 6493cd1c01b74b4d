// Calls into ONNX Runtime's C API that the Go binding lacks or makes slow. cgo
// cannot call a function pointer, so each entry of OrtApi used has a function
// here; loops over rows are here too, one crossing for all of them.
//
// This header names ONNX Runtime's types without including its 370 kB header,
// which cgo would otherwise parse on every build.
#ifndef MILLRACE_ORT_SHIM_H
#define MILLRACE_ORT_SHIM_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;

enum { MR_MAX_RANK = 32, MR_LOG_TEXT = 2048 };

// The library.
typedef struct {
  void *handle;
  const char *version;  // the library's own; NULL when it has no OrtGetApiBase
  const char *path;     // where the loader found it
  const char *error;    // dlerror's words, valid until the next call here
} mr_library;
void mr_open(const char *path, mr_library *out);
void mr_close(mr_library *lib);
// Takes the API of an opened library for all calls below; 0 when it has none of
// this version.
int mr_use(mr_library *lib);
OrtStatus *mr_create_env(void);
OrtStatus *mr_providers(char ***names, int *count);
void mr_free_providers(char **names, int count);

// ONNX Runtime's log: the last messages, numbered from 0.
uint64_t mr_log_end(void);
// Copies message number seq; 0 when it is gone or not there yet.
int mr_log_read(uint64_t seq, int *severity, char *text);

int mr_status_code(const OrtStatus *status);
const char *mr_status_message(const OrtStatus *status);
void mr_release_status(OrtStatus *status);

// Sessions.
typedef struct {
  char *name;
  int kind;  // ONNXType
  int elem;  // ONNXTensorElementDataType of the tensor or the map's values
  int key;   // of the map's keys
  int inner; // ONNXType of a sequence's or optional's elements
  int has_shape;
  size_t rank;
  int64_t dims[MR_MAX_RANK];
  char *params[MR_MAX_RANK];
} mr_info;
OrtStatus *mr_create_session(const void *model, size_t bytes, const OrtSessionOptions *options, OrtSession **out);
void mr_release_session(OrtSession *session);
// mr_session_memory gives the bytes that the session's arena has handed out, now and at most
// since it was made; both 0 where it keeps no account.
OrtStatus *mr_session_memory(const OrtSession *session, int64_t *used, int64_t *peak);
// Makes the operators of ops.h known to a session: those for the processor, or
// for a CUDA device with its number.
OrtStatus *mr_add_operators(OrtSessionOptions *options);
OrtStatus *mr_add_device_operators(OrtSessionOptions *options, int device);
// The instructions that their kernels use; see ops.h.
void mr_limit_level(int level);
int mr_level_now(void);
const char *mr_level_name(int level);
OrtStatus *mr_session_counts(const OrtSession *session, size_t *inputs, size_t *outputs);
OrtStatus *mr_session_info(const OrtSession *session, int output, size_t i, mr_info *out);
void mr_free_info(mr_info *info);

// The CUDA and TensorRT providers of a session with these n provider options. The
// first that is appended is asked first for each node.
OrtStatus *mr_append_cuda(OrtSessionOptions *options, const char *const *keys, const char *const *values, size_t n);
OrtStatus *mr_append_tensorrt(OrtSessionOptions *options, const char *const *keys, const char *const *values, size_t n);
// Where the nodes of a session's graph run, as they were given to execution
// providers. The session must have recorded it
// (session.record_ep_graph_assignment_info). *n is how many nodes there are, of
// which the first room are written; strings are the session's.
typedef struct {
  const char *provider, *domain, *op, *name;
} mr_node;
OrtStatus *mr_placement(const OrtSession *session, mr_node *nodes, size_t room, size_t *n);
OrtStatus *mr_create_run_options(OrtRunOptions **out);
void mr_release_run_options(OrtRunOptions *options);
OrtStatus *mr_terminate(OrtRunOptions *options);
OrtStatus *mr_unset_terminate(OrtRunOptions *options);
// *log_begin is the number of the first message logged from here on.
OrtStatus *mr_run(OrtSession *session, const OrtRunOptions *options, char **input_names, OrtValue **inputs,
                  size_t n_inputs, char **output_names, size_t n_outputs, OrtValue **outputs, uint64_t *log_begin);

// Values.
typedef struct {
  int kind;
  int elem;
  size_t rank;
  int64_t dims[MR_MAX_RANK];
  void *data;  // NULL for strings and for what is not a tensor
} mr_value;
OrtStatus *mr_tensor_over(void *data, size_t bytes, const int64_t *dims, size_t rank, int elem, OrtValue **out);
// Over memory of a CUDA device.
OrtStatus *mr_device_tensor(int device, uint64_t memory, size_t bytes, const int64_t *dims, size_t rank, int elem,
                            OrtValue **out);
OrtStatus *mr_string_tensor(const int64_t *dims, size_t rank, OrtValue **out);
void mr_release_value(OrtValue *value);
OrtStatus *mr_describe(OrtValue *value, mr_value *out);
OrtStatus *mr_fill_strings32(OrtValue *value, const int32_t *offsets, const char *data, size_t n);
OrtStatus *mr_fill_strings64(OrtValue *value, const int64_t *offsets, const char *data, size_t n);
OrtStatus *mr_strings_bytes(const OrtValue *value, size_t *bytes);
OrtStatus *mr_strings_read(const OrtValue *value, char *data, size_t bytes, size_t *starts, size_t n);

// Sequences of maps. mr_map gives one map's keys and values as new tensors.
// The decoders write row i's values to out[i * classes] and stop with *row at a
// map whose keys are not those given, which they then return NULL for.
OrtStatus *mr_count(const OrtValue *sequence, size_t *n);
OrtStatus *mr_map(const OrtValue *sequence, size_t i, OrtValue **keys, OrtValue **values);
OrtStatus *mr_maps_int64(const OrtValue *sequence, size_t rows, const int64_t *keys, size_t classes, float *out,
                         size_t *row);
OrtStatus *mr_maps_string(const OrtValue *sequence, size_t rows, const size_t *starts, const char *keys, size_t bytes,
                          size_t classes, float *out, size_t *row);

#endif
