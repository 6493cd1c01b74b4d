// Kernels of millrace's operators for NVIDIA devices. compile.sh compiles them for
// those, and emulator.c for the processor, as C; so this is what C and CUDA's C++ have in common, and what would be a template is a function
// whose last arguments are constants.
//
// Every row belongs to one thread, which adds trees in their order: sums have
// the bits of the processor's, but for a NaN's, which no two kinds of processor
// make alike. compile.sh forbids fused multiply-adds. expf may differ in its last
// bits.
#include "layout.h"

#ifdef __CUDACC__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define SHARED extern __shared__ __align__(16) float shared[]
#define UNROLL _Pragma("unroll")
// Hides where a number is from, so that the compiler multiplies by it as it is.
#define HIDE(number) asm("" : "+r"(number))
#else
#include "emulator.h"
#endif

enum { COLUMNS_AT_ONCE = 8, WORDS_AHEAD = MR_CUDA_BYTES_AHEAD / 16 };

// What a thread knows of its row. A thread beyond the last row does what the
// others do on that one, and leaves no trace.
typedef struct {
  uint64_t row;
  int mine;
  const char *x; // column c is a float at x + c * step
  uint32_t step;
  float *sums;    // of target k: sums[k * sums_step]
  uint32_t sums_step;
} lane;

MR_DEVICE lane begin(const mr_cuda_trees *a) {
  lane l;
  l.row = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
  l.mine = l.row < a->rows;
  if (!l.mine) l.row = a->rows - 1;
  l.x = (const char *)(a->x + l.row * a->stride);
  l.step = sizeof(float);
  return l;
}

MR_DEVICE float at_column(const lane *l, uint32_t column) { return *(const float *)(l->x + column * l->step); }

// Moves the row's columns into shared memory, where threads side by side find
// theirs side by side. Loads go ahead of stores, or each would wait for the last.
MR_DEVICE float *fetch_columns(const mr_cuda_trees *a, lane *l, float *to) {
  const uint32_t step = blockDim.x;
  float *mine = to + threadIdx.x;
  uint32_t c = 0;
  for (; c + COLUMNS_AT_ONCE <= a->n_columns; c += COLUMNS_AT_ONCE) {
    float v[COLUMNS_AT_ONCE];
    UNROLL for (uint32_t i = 0; i < COLUMNS_AT_ONCE; i++) v[i] = at_column(l, a->column[c + i]);
    UNROLL for (uint32_t i = 0; i < COLUMNS_AT_ONCE; i++) mine[(c + i) * step] = v[i];
  }
  for (; c < a->n_columns; c++) mine[c * step] = at_column(l, a->column[c]);
  l->x = (const char *)mine;
  l->step = step * (uint32_t)sizeof(float);
  HIDE(l->step);
  return to + a->n_columns * step;
}

MR_DEVICE float *begin_sums(const mr_cuda_trees *a, lane *l, float *to) {
  if (a->sums_shared) {
    l->sums = to + threadIdx.x;
    l->sums_step = blockDim.x;
    to += a->finish.targets * blockDim.x;
  } else {
    l->sums = a->out + l->row * a->finish.targets;
    l->sums_step = 1;
  }
  if (a->sums_shared || l->mine)
    MR_ROLLED for (uint32_t k = 0; k < a->finish.targets; k++) l->sums[(uint64_t)k * l->sums_step] = 0;
  return to;
}

MR_DEVICE uint32_t bits(float v) {
  union {
    float f;
    uint32_t u;
  } b;
  b.f = v;
  return b.u;
}

// Adds one leaf of a tree to the row's sums.
MR_DEVICE void add_leaf(const mr_cuda_trees *a, const lane *l, uint32_t tree, float value) {
  const mr_cuda_tree t = a->tree[tree];
  if (!a->sums_shared && !l->mine) return;
  if (t.targets == 1) {
    l->sums[(uint64_t)a->target[t.target] * l->sums_step] += value;
    return;
  }
  const float *values = a->values + t.values + (uint64_t)bits(value) * t.targets;
  MR_ROLLED for (uint32_t k = 0; k < t.targets; k++) l->sums[(uint64_t)a->target[t.target + k] * l->sums_step] += values[k];
}

MR_DEVICE void put_label(const mr_cuda_trees *a, const lane *l, uint32_t number) {
  a->label[l->row] = a->labels[number < a->finish.targets ? number : 0];
}

MR_DEVICE void end(const mr_cuda_trees *a, const lane *l) {
  const uint32_t n = a->finish.targets;
  if (!l->mine) return;
  float *out = a->out + l->row * n;
  if (!a->label) {
    MR_ROLLED for (uint32_t k = 0; k < n; k++) out[k] = mr_regress(&a->finish, k, l->sums[(uint64_t)k * l->sums_step]);
    return;
  }
  put_label(a, l, mr_classify(&a->finish, l->sums, l->sums_step));
  if (a->sums_shared)
    MR_ROLLED for (uint32_t k = 0; k < n; k++) out[k] = l->sums[(uint64_t)k * l->sums_step];
}

// The end of a row of which one sum was made: of a regressor of one target, or a
// classifier of two classes.
MR_DEVICE void end_one(const mr_cuda_trees *a, const lane *l, float sum) {
  if (!l->mine) return;
  if (!a->label) {
    a->out[l->row] = mr_regress(&a->finish, 0, sum);
    return;
  }
  float s[2];
  s[0] = a->only ? 0 : sum;
  s[1] = a->only ? sum : 0;
  put_label(a, l, mr_classify_two(&a->finish, s, 1));
  a->out[2 * l->row] = s[0];
  a->out[2 * l->row + 1] = s[1];
}

// Whether x fails a split. equals: splits on equality may be among them.
MR_DEVICE int fails(float x, float threshold, uint32_t kind, const int equals) {
  const int nan = x != x, nan_fails = !(kind & MR_CUDA_NAN_PASSES);
  if (equals && kind & MR_CUDA_EQUAL) return nan ? nan_fails : x != threshold;
  return x > threshold || (nan && nan_fails);
}

// The leaves of n trees at once: n loads are under way where one would be.
MR_DEVICE void walk(const lane *l, const mr_cuda_node *nodes, const uint32_t *root, uint32_t base, mr_cuda_node *leaf,
                    const int equals, const int n) {
  const mr_cuda_node *tree[MR_CUDA_AT_ONCE];
  uint32_t heads = MR_CUDA_LEAF;
  UNROLL for (int i = 0; i < n; i++) {
    tree[i] = nodes + (root[i] - base);
    leaf[i] = tree[i][0];
    heads &= leaf[i].head;
  }
  while (!(heads & MR_CUDA_LEAF)) {
    float x[MR_CUDA_AT_ONCE];
    UNROLL for (int i = 0; i < n; i++) x[i] = at_column(l, leaf[i].head >> MR_CUDA_COLUMN_SHIFT);
    heads = MR_CUDA_LEAF;
    UNROLL for (int i = 0; i < n; i++) {
      const uint32_t head = leaf[i].head;
      const mr_cuda_node *next = tree[i] + (head & (MR_CUDA_MOST_CHILDREN - 1));
      if (fails(x[i], leaf[i].value, head, equals) && !(head & MR_CUDA_LEAF)) next++;
      leaf[i] = *next;
      heads &= leaf[i].head;
    }
  }
}

typedef struct __attribute__((aligned(16))) {
  uint32_t a, b, c, d;
} words; // two nodes

// A group's nodes, a whole number of words. The first of them are loaded while
// the group before is walked.
typedef struct {
  const words *from;
  uint32_t n;
  words ahead[WORDS_AHEAD];
} nodes_ahead;

// The tree after a group that begins with tree t.
MR_DEVICE uint32_t group_end(const mr_cuda_trees *a, uint32_t t) { return t + a->group < a->n_trees ? t + a->group : a->n_trees; }

MR_DEVICE void load_ahead(const mr_cuda_trees *a, uint32_t t, nodes_ahead *next) {
  const uint32_t first = a->root[t], last = a->root[group_end(a, t)];
  next->from = (const words *)((const mr_cuda_node *)a->nodes + first);
  next->n = (last - first) / 2;
  UNROLL for (uint32_t i = 0; i < WORDS_AHEAD; i++) {
    const uint32_t at = threadIdx.x + i * blockDim.x;
    if (at < next->n) next->ahead[i] = next->from[at];
  }
}

MR_DEVICE void store_nodes(const nodes_ahead *next, words *to) {
  UNROLL for (uint32_t i = 0; i < WORDS_AHEAD; i++) {
    const uint32_t at = threadIdx.x + i * blockDim.x;
    if (at < next->n) to[at] = next->ahead[i];
  }
  for (uint32_t at = threadIdx.x + WORDS_AHEAD * blockDim.x; at < next->n; at += blockDim.x) to[at] = next->from[at];
}

// All trees for a block's rows. nodes, columns: are they in shared memory, or
// read where they are; one: all trees have the one target a->only; n: trees at
// once.
MR_DEVICE void score(const mr_cuda_trees *a, float *shared, const int nodes, const int columns, const int one,
                     const int equals, const int n) {
  lane l = begin(a);
  float sum = 0, *free = shared;
  if (columns) free = fetch_columns(a, &l, free);
  if (!one) free = begin_sums(a, &l, free);
  nodes_ahead next;
  next.n = 0;
  next.from = 0;
  if (nodes) load_ahead(a, 0, &next);
  for (uint32_t t = 0; t < a->n_trees;) {
    const uint32_t last = group_end(a, t);
    uint32_t base = 0;
    const mr_cuda_node *from = (const mr_cuda_node *)a->nodes;
    if (nodes) {
      base = a->root[t];
      __syncthreads(); // others may still be in the group before
      store_nodes(&next, (words *)free);
      __syncthreads();
      from = (const mr_cuda_node *)free;
      if (last < a->n_trees) load_ahead(a, last, &next);
    }
    mr_cuda_node leaf[MR_CUDA_AT_ONCE];
    for (; t + (uint32_t)n <= last; t += (uint32_t)n) {
      walk(&l, from, a->root + t, base, leaf, equals, n);
      UNROLL for (int i = 0; i < n; i++) {
        if (one)
          sum += leaf[i].value;
        else
          add_leaf(a, &l, t + (uint32_t)i, leaf[i].value);
      }
    }
    for (; t < last; t++) {
      walk(&l, from, a->root + t, base, leaf, equals, 1);
      if (one)
        sum += leaf[0].value;
      else
        add_leaf(a, &l, t, leaf[0].value);
    }
  }
  if (one)
    end_one(a, &l, sum);
  else
    end(a, &l);
}

#define TREES(name, nodes, columns, one, equals, at_once)        \
  KERNEL(MR_CUDA_MOST_THREADS) name(const mr_cuda_trees a) {     \
    SHARED;                                                      \
    score(&a, shared, nodes, columns, one, equals, at_once);     \
  }

TREES(mr_trees_staged_one_le, 1, 1, 1, 0, MR_CUDA_AT_ONCE)
TREES(mr_trees_staged_one, 1, 1, 1, 1, MR_CUDA_AT_ONCE)
TREES(mr_trees_staged, 1, 1, 0, 1, MR_CUDA_AT_ONCE)
TREES(mr_trees_direct_one_le, 0, 1, 1, 0, MR_CUDA_AT_ONCE)
TREES(mr_trees_direct, 0, 1, 0, 1, MR_CUDA_AT_ONCE)
TREES(mr_trees_pairs_one_le, 0, 1, 1, 0, 2)
TREES(mr_trees_pairs, 0, 1, 0, 1, 2)
TREES(mr_trees_wide, 1, 0, 0, 1, MR_CUDA_AT_ONCE)

// Any forest, one node at a time.
KERNEL(MR_CUDA_MOST_THREADS) mr_trees_general(const mr_cuda_trees a) {
  SHARED;
  lane l = begin(&a);
  begin_sums(&a, &l, shared);
  for (uint32_t t = 0; t < a.n_trees; t++) {
    const mr_cuda_big_node *tree = (const mr_cuda_big_node *)a.nodes + a.root[t];
    mr_cuda_big_node at = tree[0];
    while (!(at.kind & MR_CUDA_LEAF)) at = tree[at.child + (uint32_t)fails(at_column(&l, at.feature), at.value, at.kind, 1)];
    add_leaf(&a, &l, t, at.value);
  }
  end(&a, &l);
}

// As the processor's Affine: a NaN is replaced if NaN is the missing value, and
// the offset is taken off before the scale.
MR_DEVICE float run_stages(const mr_cuda_affine *a, float v, uint64_t column) {
  for (uint32_t i = 0; i < a->n_stages; i++) {
    const mr_cuda_stage s = a->stages[i];
    const float *p = a->parameters + (uint64_t)i * MR_CUDA_PARAMETERS * a->width + column;
    if (s.replaces && (v == s.missing || (v != v && s.missing != s.missing))) v = p[MR_CUDA_INSTEAD * (uint64_t)a->width];
    if (s.scales) v = (v - p[MR_CUDA_OFFSET * (uint64_t)a->width]) * p[MR_CUDA_SCALE * (uint64_t)a->width];
  }
  return v;
}

KERNEL(MR_CUDA_AFFINE_THREADS) mr_affine_values(const mr_cuda_affine a) {
  const uint64_t stride = (uint64_t)gridDim.x * blockDim.x;
  for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.n; i += stride) {
    // Division of 64 bits takes several times as long.
    const uint32_t column = i >> 32 ? (uint32_t)(i % a.width) : (uint32_t)i % a.width;
    a.y[i] = run_stages(&a, a.x[i], column);
  }
}

KERNEL(MR_CUDA_AFFINE_THREADS) mr_affine_sums(const mr_cuda_affine a) {
  SHARED;
  const uint32_t part = threadIdx.x % MR_CUDA_PARTS, rows = blockDim.x / MR_CUDA_PARTS;
  for (uint64_t first = (uint64_t)blockIdx.x * rows; first < a.n; first += (uint64_t)gridDim.x * rows) {
    const uint64_t row = first + threadIdx.x / MR_CUDA_PARTS;
    float sum = 0;
    if (row < a.n)
      for (uint64_t c = part; c < a.width; c += MR_CUDA_PARTS)
        sum += run_stages(&a, a.x[row * a.width + c], c) * a.coefficients[c];
    float *parts = shared + threadIdx.x;
    *parts = sum;
    for (uint32_t half = MR_CUDA_PARTS / 2; half; half /= 2) {
      __syncthreads();
      if (part < half) *parts += parts[half];
    }
    if (part == 0 && row < a.n) a.y[row] = *parts + a.intercept;
    __syncthreads();
  }
}
