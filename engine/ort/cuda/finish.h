// What becomes of a row's sums once all trees have been added: for the
// processor and, compiled by nvcc, for the device, so that they cannot differ.
//
// This is ONNX Runtime's arithmetic, operation by operation
// (onnxruntime:core/providers/cpu/ml/tree_ensemble_aggregator.h and ml_common.h).
// Of a row's sums or scores s, number i lies at s[i * step].
#ifndef MILLRACE_ORT_CUDA_FINISH_H
#define MILLRACE_ORT_CUDA_FINISH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define MR_DEVICE static __device__ __forceinline__
#define MR_ROLLED _Pragma("unroll 1") // a loop that runs once a row, at most
#else
#include <math.h>
#define MR_DEVICE static inline
#define MR_ROLLED
#endif

enum { MR_NO_TRANSFORM, MR_LOGISTIC, MR_SOFTMAX, MR_SOFTMAX_ZERO };

typedef struct {
  const float *base;   // [targets], 0 where there are none
  const uint32_t *has; // [targets]: some tree always adds to it
  uint32_t targets, n_base, n_trees;
  int32_t average, binary, positive, transform;
} mr_finish;

MR_DEVICE float mr_logistic(float v) {
  float p = 1 / (1 + expf(-fabsf(v)));
  return v < 0 ? 1 - p : p;
}

MR_DEVICE float mr_largest(const float *s, size_t step, uint32_t n) {
  float most = -3.40282346638528859812e+38f;
  MR_ROLLED for (uint32_t i = 0; i < n; i++)
    if (s[i * step] > most) most = s[i * step];
  return most;
}

MR_DEVICE void mr_softmax(float *s, size_t step, uint32_t n, int keep_zeros) {
  float most = mr_largest(s, step, n), sum = 0, zero = keep_zeros ? expf(-most) : 0;
  MR_ROLLED for (uint32_t i = 0; i < n; i++) {
    float *v = &s[i * step];
    if (!keep_zeros || *v > 0.0000001f || *v < -0.0000001f) {
      *v = expf(*v - most);
      sum += *v;
    } else {
      *v *= zero;
    }
  }
  MR_ROLLED for (uint32_t i = 0; i < n; i++) s[i * step] /= sum;
}

MR_DEVICE void mr_transform(float *s, size_t step, uint32_t n, int how) {
  if (how == MR_LOGISTIC)
    MR_ROLLED for (uint32_t i = 0; i < n; i++) s[i * step] = mr_logistic(s[i * step]);
  if (how == MR_SOFTMAX || how == MR_SOFTMAX_ZERO) mr_softmax(s, step, n, how == MR_SOFTMAX_ZERO);
}

// A regressor's output for target k, of its sum v.
MR_DEVICE float mr_regress(const mr_finish *f, uint32_t k, float v) {
  if (f->average) v /= (float)f->n_trees;
  // One target always adds its base value, though that be 0: an average may
  // be -0.
  if (f->n_base || f->targets == 1) v += f->base[k];
  return f->has[k] || f->targets == 1 ? v : 0;
}

// The class of one row of two classes. Where no leaf has a score of the second,
// the first's is that of the second against the first.
MR_DEVICE uint32_t mr_classify_two(const mr_finish *f, float *s, size_t step) {
  if (f->n_base == 1 && f->has[0]) s[0] += f->base[0];
  if (!f->has[0]) s[0] = 0;
  float positive = f->has[1] ? s[step] : s[0];
  uint32_t label = positive > (f->binary && f->positive ? 0.5f : 0.0f);
  if (f->has[1]) {
    mr_transform(s, step, 2, f->transform);
    return label;
  }
  // Versions of ONNX Runtime differ where both conditions hold, which
  // models.UseKernels leaves alone.
  float v = s[0];
  if (f->transform == MR_LOGISTIC) {
    s[step] = mr_logistic(v);
    s[0] = mr_logistic(-v);
  } else {
    s[step] = v;
    s[0] = f->positive ? 1 - v : -v;
  }
  return label;
}

// The class of one row, whose sums become its probabilities.
MR_DEVICE uint32_t mr_classify(const mr_finish *f, float *s, size_t step) {
  const uint32_t n = f->targets, none = 0xffffffffu;
  if (n == 2) return mr_classify_two(f, s, step);
  uint32_t best = none;
  MR_ROLLED for (uint32_t i = 0; i < n; i++) {
    float *v = &s[i * step];
    if (i < f->n_base) *v = f->has[i] ? *v + f->base[i] : f->base[i];
    if (!f->has[i] && i >= f->n_base) *v = 0;
    else if (best == none || *v > s[best * step]) best = i;
  }
  mr_transform(s, step, n, f->transform);
  return best;
}

#endif
