// Operators of ours that run inside ONNX Runtime's session, in its domain
// "millrace". models.UseKernels puts them into a graph in place of operators, most
// of ai.onnx.ml, that compute the same; docs/decisions/012 and 019 say why.
//
// A kernel is made once per node and session and does not change after that, so
// that any number of Runs may compute with it at once. What a Run needs beside
// it lies in memory of its own.
#ifndef MILLRACE_ORT_OPS_H
#define MILLRACE_ORT_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "columns.h"
#include "include/onnxruntime_c_api.h"

#define TRY(call)                 \
  do {                            \
    OrtStatus *status_ = (call);  \
    if (status_) return status_;  \
  } while (0)

// What instructions a kernel may use.
typedef enum { MR_PLAIN, MR_AVX2, MR_AVX512 } mr_level;

// The highest level that the processor has and mr_limit_level allows.
mr_level mr_kernel_level(void);
int mr_level_now(void);
// For tests: kernels made from now on use no more than this.
void mr_limit_level(int level);
const char *mr_level_name(int level);

// Makes the operators known to sessions made with these options.
OrtStatus *mr_ops_add(const OrtApi *api, OrtSessionOptions *options);
// The same for sessions with ONNX Runtime's CUDA provider on a device, by its
// ordinal there: the operators run on that device, but for those of strings.
// Call one of the two.
OrtStatus *mr_cuda_ops_add(const OrtApi *api, OrtSessionOptions *options, int device);

extern const OrtCustomOp mr_op_trees_regressor, mr_op_trees_classifier_ints, mr_op_trees_classifier_strings;
extern const OrtCustomOp mr_op_affine, mr_op_linear, mr_op_dense;

// An attribute's bytes, in memory to free; *size without the zero behind them.
OrtStatus *mr_op_attribute(const OrtApi *api, const OrtKernelInfo *info, const char *name, uint8_t **bytes, size_t *size);

// A matrix as ONNX Runtime's own operators of ai.onnx.ml see a tensor: one
// dimension is one row.
typedef struct {
  const float *data;
  size_t rank, elements;
  int64_t dims[8];
  mr_columns columns; // where its values are, if it has segments: data is NULL
} mr_matrix;
OrtStatus *mr_op_input(const OrtApi *api, OrtKernelContext *context, mr_matrix *out);
OrtStatus *mr_op_output(const OrtApi *api, OrtKernelContext *context, size_t i, const int64_t *dims, size_t rank,
                        OrtValue **value, void **data);

// Gives output i the shape [rows of input 0] or [rows of input 0, width], where
// the input's is known.
OrtStatus *mr_op_infer_rows(const OrtApi *api, OrtShapeInferContext *context, size_t i, int64_t width, size_t rank,
                            ONNXTensorElementDataType elem);
// Gives output 0 the shape of input 0, where that is known.
OrtStatus *mr_op_infer_same(const OrtApi *api, OrtShapeInferContext *context, ONNXTensorElementDataType elem);
// An attribute's number while shapes are worked out; -1 where there is none.
int64_t mr_op_infer_int(const OrtApi *api, OrtShapeInferContext *context, const char *name);

// The API, for functions of an OrtCustomOp that are given none. Set by
// mr_ops_add, before any of them can be called.
extern const OrtApi *mr_ops_api;

// What the tables of all operators share.
size_t ORT_API_CALL mr_op_one(const OrtCustomOp *op);
size_t ORT_API_CALL mr_op_two(const OrtCustomOp *op);
ONNXTensorElementDataType ORT_API_CALL mr_op_float(const OrtCustomOp *op, size_t i);
// Any type: float, or int64 for what columns.h describes; mr_op_input looks.
ONNXTensorElementDataType ORT_API_CALL mr_op_any(const OrtCustomOp *op, size_t i);
OrtCustomOpInputOutputCharacteristic ORT_API_CALL mr_op_required(const OrtCustomOp *op, size_t i);
OrtMemType ORT_API_CALL mr_op_memory(const OrtCustomOp *op, size_t i);
const char *ORT_API_CALL mr_op_provider(const OrtCustomOp *op);
int ORT_API_CALL mr_op_version(const OrtCustomOp *op);
int ORT_API_CALL mr_op_zero(const OrtCustomOp *op);

#define MR_OP_SHARED MR_OP_TAKES(mr_op_float)
#define MR_OP_OF_COLUMNS MR_OP_TAKES(mr_op_any)

#define MR_OP_TAKES(input)                                                                                  \
  .version = ORT_API_VERSION, .GetExecutionProviderType = mr_op_provider, .GetInputType = input,            \
  .GetInputTypeCount = mr_op_one, .GetInputCharacteristic = mr_op_required,                                 \
  .GetOutputCharacteristic = mr_op_required, .GetInputMemoryType = mr_op_memory,                            \
  .GetVariadicInputMinArity = mr_op_zero, .GetVariadicInputHomogeneity = mr_op_zero,                        \
  .GetVariadicOutputMinArity = mr_op_zero, .GetVariadicOutputHomogeneity = mr_op_zero,                      \
  .GetStartVersion = mr_op_version, .GetEndVersion = mr_op_version

#endif
