#include "cuda_forest.h"

#include <stdlib.h>
#include <string.h>

// Threads of a block: the fewest on its columns' account, the fewest on that of
// rows, and so the fewest that bring nodes into shared memory, and the most.
enum { FEWEST_THREADS = 32, FEW_THREADS = 128, MOST_THREADS = MR_CUDA_MOST_THREADS };
_Static_assert(FEW_THREADS << (MR_CUDA_GROUPS - 1) == MOST_THREADS, "a group for each size of a block");
// Sums lie in shared memory up to so many targets.
enum { MOST_SHARED_SUMS = 16 };
// Shared memory that the driver keeps of each block's.
enum { BLOCK_BYTES = 1 << 10 };

typedef struct {
  size_t nodes, root, tree, column, target, values, base, has, labels; // offsets into the image
  size_t bytes;
} sections;

static size_t take(sections *s, size_t bytes) {
  size_t at = s->bytes;
  s->bytes += (bytes + 255) & ~(size_t)255;
  return at;
}

static uint32_t nodes_of(const mr_tree *t) { return 2 * t->leaves - 1; }
// In memory, so that each tree begins at a multiple of 16 bytes.
static uint32_t padded_nodes(const mr_tree *t) { return 2 * t->leaves; }

static size_t largest_tree(const mr_forest *f) {
  size_t most = 0;
  for (uint32_t i = 0; i < f->n_trees; i++)
    if (padded_nodes(&f->trees[i]) > most) most = padded_nodes(&f->trees[i]);
  return most;
}

// Whether one sum of a row is all there is: of a regressor of one target, or of
// a classifier of two classes whose leaves all speak of the same.
static int has_one_target(const mr_forest *f) {
  if (f->targets > 2 || (f->targets == 2 && !f->classifier)) return 0;
  for (uint32_t i = 0; i < f->n_trees; i++)
    if (f->trees[i].targets != 1 || f->trees[i].target[0] != f->trees[0].target[0]) return 0;
  return 1;
}

static int any_equal(const mr_forest *f, const uint8_t *bytes);

static size_t trees_bytes(const mr_forest *f, uint32_t first, uint32_t last) {
  size_t bytes = 0;
  for (uint32_t i = first; i < last && i < f->n_trees; i++) bytes += padded_nodes(&f->trees[i]) * sizeof(mr_cuda_node);
  return bytes;
}

static size_t largest_group(const mr_forest *f, uint32_t trees) {
  size_t most = 0;
  for (uint32_t i = 0; i < f->n_trees; i += trees) {
    const size_t bytes = trees_bytes(f, i, i + trees);
    if (bytes > most) most = bytes;
  }
  return most;
}

// As many trees as room holds, and a multiple of what a thread walks at once;
// else none.
static mr_cuda_group group_of(const mr_forest *f, size_t room) {
  mr_cuda_group g = {0};
  for (uint32_t trees = MR_CUDA_AT_ONCE;; trees *= 2) {
    const size_t bytes = largest_group(f, trees);
    if (bytes > room) return g;
    g = (mr_cuda_group){.trees = trees, .bytes = (uint32_t)bytes};
    if (trees >= f->n_trees) return g;
  }
}

// Rows whose columns are too many for shared memory wait for those, and hardly
// for nodes: as few as a thread walks at once leave room for more blocks.
static mr_cuda_group wide_group(const mr_forest *f) {
  const uint32_t trees = largest_group(f, MR_CUDA_AT_ONCE) <= MOST_THREADS * MR_CUDA_BYTES_AHEAD ? MR_CUDA_AT_ONCE : 1;
  return (mr_cuda_group){.trees = trees, .bytes = (uint32_t)largest_group(f, trees)};
}

// Chooses the kernels: with columns in shared memory; or with nodes alone; or
// with neither. Sums lie there, too, where they are few.
static void choose(const mr_forest *f, const uint8_t *bytes, size_t shared, mr_cuda_forest *out) {
  const size_t columns = f->n_features * sizeof(float);
  const uint32_t sums = f->targets > MOST_SHARED_SUMS ? 0 : f->targets * (uint32_t)sizeof(float);
  const int small = largest_tree(f) <= MR_CUDA_MOST_CHILDREN, narrow = small && f->n_features <= MR_CUDA_MOST_COLUMNS;
  const int one = has_one_target(f), one_le = one && !any_equal(f, bytes);
  *out = (mr_cuda_forest){.staged = K_mr_trees_general, .direct = K_mr_trees_general, .pairs = K_mr_trees_general,
                          .row_bytes = sums, .largest = largest_group(f, 1)};
  if (narrow && FEWEST_THREADS * (columns + sums) <= shared) {
    out->staged = one_le ? K_mr_trees_staged_one_le : one ? K_mr_trees_staged_one : K_mr_trees_staged;
    out->direct = one_le ? K_mr_trees_direct_one_le : K_mr_trees_direct;
    out->pairs = one_le ? K_mr_trees_pairs_one_le : K_mr_trees_pairs;
    out->row_bytes = (uint32_t)columns + (one_le ? 0 : sums);
    for (int i = 0; i < MR_CUDA_GROUPS; i++) out->group[i] = group_of(f, (size_t)(MOST_THREADS >> i) * MR_CUDA_BYTES_AHEAD);
  } else if (small && f->width <= MR_CUDA_MOST_COLUMNS && FEW_THREADS * sums + wide_group(f).bytes <= shared) {
    out->staged = K_mr_trees_wide;
    for (int i = 0; i < MR_CUDA_GROUPS; i++) out->group[i] = wide_group(f);
  }
}

static int has_columns(const mr_cuda_forest *f) { return f->direct != K_mr_trees_general; }
static int is_general(const mr_cuda_forest *f) { return f->staged == K_mr_trees_general; }

// One tree, as it is read.
typedef struct {
  const uint8_t *nodes; // of the layout
  uint32_t *other;      // [nodes] a split's false side
  uint32_t *number;     // [nodes] a leaf's number
  uint32_t *order;      // [nodes] the nodes level by level
  uint32_t *child;      // [nodes] where in order a node's true side is
} reading;

static uint32_t word(const uint8_t *p, size_t i) {
  uint32_t v;
  memcpy(&v, p + 4 * i, sizeof v);
  return v;
}

static uint32_t kind_of(const reading *r, uint32_t i) { return word(r->nodes, MRF_NODE * (size_t)i) >> 24; }

static void read_tree(reading *r, uint32_t n) {
  uint32_t *stack = r->order, depth = 0, leaves = 0; // order is not needed yet
  for (uint32_t i = 0; i < n; i++) {
    if (kind_of(r, i) != IS_LEAF) {
      stack[depth++] = i;
      continue;
    }
    r->number[i] = leaves++;
    if (depth) r->other[stack[--depth]] = i + 1;
  }
  uint32_t next = 1;
  r->order[0] = 0;
  for (uint32_t at = 0; at < n; at++) {
    const uint32_t i = r->order[at];
    if (kind_of(r, i) == IS_LEAF) {
      r->child[i] = at;
      continue;
    }
    r->child[i] = next;
    r->order[next++] = i + 1;
    r->order[next++] = r->other[i];
  }
}

static uint32_t flags_of(uint32_t kind) {
  switch (kind) {
    case LE_NAN_TRUE: return MR_CUDA_NAN_PASSES;
    case EQ_NAN_FALSE: return MR_CUDA_EQUAL;
    case EQ_NAN_TRUE: return MR_CUDA_EQUAL | MR_CUDA_NAN_PASSES;
    case IS_LEAF: return MR_CUDA_LEAF;
    default: return 0;
  }
}

// What a node holds as its value; number is a leaf's.
static float value_of(const mr_tree *t, const reading *r, uint32_t i) {
  uint32_t bits = word(r->nodes, MRF_NODE * (size_t)i + 1);
  float v;
  if (kind_of(r, i) == IS_LEAF) {
    if (t->targets == 1) return t->values[r->number[i]];
    bits = r->number[i];
  }
  memcpy(&v, &bits, sizeof v);
  return v;
}

// Writes a tree's nodes; column is what each feature is called in them.
static void write_nodes(const mr_tree *t, const reading *r, const uint32_t *column, int big, void *to) {
  for (uint32_t at = 0; at < nodes_of(t); at++) {
    const uint32_t i = r->order[at], kind = kind_of(r, i), feature = word(r->nodes, MRF_NODE * (size_t)i) & 0xffffff;
    const uint32_t name = kind == IS_LEAF ? 0 : column[feature];
    const float value = value_of(t, r, i);
    if (big)
      ((mr_cuda_big_node *)to)[at] = (mr_cuda_big_node){.value = value, .kind = flags_of(kind), .feature = name, .child = r->child[i]};
    else
      ((mr_cuda_node *)to)[at] = (mr_cuda_node){.value = value, .head = r->child[i] | flags_of(kind) | name << MR_CUDA_COLUMN_SHIFT};
  }
}

// Where the layout has the nodes of each tree: after its head and target ids.
static const uint8_t *first_tree(const mr_forest *f, const uint8_t *bytes) {
  return bytes + 4 * (MRF_HEAD + 2 * (size_t)f->targets);
}
static const uint8_t *nodes_at(const mr_tree *t, const uint8_t *tree) { return tree + 4 * (MRF_TREE + (size_t)t->targets); }
static const uint8_t *next_tree(const mr_tree *t, const uint8_t *tree) {
  return nodes_at(t, tree) + 4 * ((size_t)nodes_of(t) * MRF_NODE + (size_t)t->targets * t->leaves);
}

static int any_equal(const mr_forest *f, const uint8_t *bytes) {
  const uint8_t *tree = first_tree(f, bytes);
  for (uint32_t t = 0; t < f->n_trees; tree = next_tree(&f->trees[t++], tree)) {
    const reading r = {.nodes = nodes_at(&f->trees[t], tree)};
    for (uint32_t i = 0; i < nodes_of(&f->trees[t]); i++)
      if (flags_of(kind_of(&r, i)) & MR_CUDA_EQUAL) return 1;
  }
  return 0;
}

static void fill_trees(const mr_forest *f, const uint8_t *bytes, const sections *s, const uint32_t *column, reading *r,
                       mr_cuda_forest *out) {
  const int big = is_general(out);
  uint32_t *root = (uint32_t *)(out->image + s->root), *target = (uint32_t *)(out->image + s->target);
  mr_cuda_tree *tree = (mr_cuda_tree *)(out->image + s->tree);
  float *values = (float *)(out->image + s->values);
  const size_t node = big ? sizeof(mr_cuda_big_node) : sizeof(mr_cuda_node);
  uint32_t at = 0, targets = 0;
  uint64_t n_values = 0;
  const uint8_t *from = first_tree(f, bytes);
  for (uint32_t i = 0; i < f->n_trees; from = next_tree(&f->trees[i++], from)) {
    const mr_tree *t = &f->trees[i];
    r->nodes = nodes_at(t, from);
    read_tree(r, nodes_of(t));
    write_nodes(t, r, column, big, out->image + s->nodes + at * node);
    root[i] = at;
    tree[i] = (mr_cuda_tree){.targets = t->targets, .target = targets, .values = n_values};
    memcpy(target + targets, t->target, t->targets * sizeof *target);
    at += padded_nodes(t);
    targets += t->targets;
    if (t->targets == 1) continue;
    for (uint32_t leaf = 0; leaf < t->leaves; leaf++)
      for (uint32_t k = 0; k < t->targets; k++) values[n_values++] = t->values[(size_t)k * t->leaves + leaf];
  }
  root[f->n_trees] = at;
}

static sections lay_out(const mr_forest *f, const mr_cuda_forest *out) {
  sections s = {0};
  size_t nodes = 0, targets = 0, values = 0;
  for (uint32_t i = 0; i < f->n_trees; i++) {
    const mr_tree *t = &f->trees[i];
    nodes += padded_nodes(t);
    targets += t->targets;
    if (t->targets > 1) values += (size_t)t->targets * t->leaves;
  }
  s.nodes = take(&s, nodes * (is_general(out) ? sizeof(mr_cuda_big_node) : sizeof(mr_cuda_node)));
  s.root = take(&s, ((size_t)f->n_trees + 1) * sizeof(uint32_t));
  s.tree = take(&s, f->n_trees * sizeof(mr_cuda_tree));
  s.column = take(&s, f->n_features * sizeof(uint32_t));
  s.target = take(&s, targets * sizeof(uint32_t));
  s.values = take(&s, values * sizeof(float));
  s.base = take(&s, f->targets * sizeof(float));
  s.has = take(&s, f->targets * sizeof(uint32_t));
  s.labels = take(&s, f->targets * sizeof(int64_t));
  return s;
}

static int fill(const mr_forest *f, const uint8_t *bytes, const int64_t *labels, const sections *s, mr_cuda_forest *out) {
  const size_t most = largest_tree(f);
  uint32_t *memory = malloc((4 * most + f->width + 1) * sizeof *memory);
  if (!memory) return 0;
  reading r = {.other = memory, .number = memory + most, .order = memory + 2 * most, .child = memory + 3 * most};
  uint32_t *column = memory + 4 * most; // as nodes call each feature
  for (uint32_t i = 0; i < f->width; i++) column[i] = i;
  for (uint32_t i = 0; i < f->n_features; i++) {
    ((uint32_t *)(out->image + s->column))[i] = f->features[i].feature;
    if (has_columns(out)) column[f->features[i].feature] = i;
  }
  fill_trees(f, bytes, s, column, &r, out);
  memcpy(out->image + s->base, f->base, f->targets * sizeof(float));
  memcpy(out->image + s->has, f->has, f->targets * sizeof(uint32_t));
  if (labels) memcpy(out->image + s->labels, labels, f->targets * sizeof(int64_t));
  free(memory);
  return 1;
}

int mr_cuda_forest_build(const mr_forest *f, const uint8_t *bytes, const int64_t *labels, size_t shared,
                         mr_cuda_forest *out) {
  choose(f, bytes, shared, out);
  const sections s = lay_out(f, out);
  out->bytes = s.bytes;
  out->image = calloc(1, s.bytes);
  if (!out->image) return 0;
  mr_cuda_trees *a = &out->arguments;
  a->n_trees = f->n_trees;
  a->n_columns = f->n_features;
  a->only = f->trees[0].target[0];
  a->sums_shared = f->targets <= MOST_SHARED_SUMS;
  a->finish = mr_forest_finish(f);
#define OFFSET(field) a->field = (const void *)(uintptr_t)s.field
  OFFSET(nodes), OFFSET(root), OFFSET(tree), OFFSET(column), OFFSET(target), OFFSET(values), OFFSET(labels);
#undef OFFSET
  a->finish.base = (const float *)(uintptr_t)s.base;
  a->finish.has = (const uint32_t *)(uintptr_t)s.has;
  if (fill(f, bytes, labels, &s, out)) return 1;
  free(out->image);
  return 0;
}

void mr_cuda_forest_place(mr_cuda_forest *f, mr_cu_pointer p) {
  mr_cuda_trees *a = &f->arguments;
#define PLACE(field) a->field = (const void *)((uintptr_t)a->field + p)
  PLACE(nodes), PLACE(root), PLACE(tree), PLACE(column), PLACE(target), PLACE(values), PLACE(labels);
  PLACE(finish.base), PLACE(finish.has);
#undef PLACE
}

static mr_cuda_group group_for(const mr_cuda_forest *f, uint32_t threads) {
  for (int i = 0; i < MR_CUDA_GROUPS; i++)
    if (threads == (uint32_t)MOST_THREADS >> i) return f->group[i];
  return (mr_cuda_group){0};
}

// Blocks are as large as leaves every multiprocessor one, and room for two.
//
// Nodes are brought into shared memory where trees are so small that the
// block's threads have a group of them under way while they walk the one
// before. Else they are read where they are, with eight trees at once, or two
// if eight do not fit the L1 cache, which the threads of a multiprocessor, then
// many, walk together.
//
// Millions of rows a second of cuda/bench.cu on an H200 (132 multiprocessors),
// 32 features; * is what is chosen here, best that of all 70 variants:
//
//	                   staged, threads   direct, at once
//	trees x leaves   rows   128   512   8 (128)   2 (512)   best
//	500 x 256         16k    64    65      93*       31       93
//	                 131k   214   288*    272       226      291
//	                   1M   218   309*    309       271      312
//	200 x 63          16k   290*  172     214        76      290
//	                 131k   677   734*    622       557      736
//	                   1M   788   798*    731       678      811
//	100 x 4000        16k    25    55     177*       84      177
//	                 131k    50   224     274       471*     471
//	                   1M    52   228     308       418*     418
mr_cuda_launch mr_cuda_forest_launch(const mr_cuda_forest *f, const mr_cuda_device *d, mr_cuda_trees *a) {
  const size_t half = d->shared_processor / 2 - BLOCK_BYTES, room = half < d->shared_block ? half : d->shared_block;
  const uint64_t processors = (uint32_t)d->processors;
  const uint32_t fewest = f->staged == K_mr_trees_wide ? FEW_THREADS : FEWEST_THREADS;
  uint32_t threads = MOST_THREADS;
  while (threads > FEW_THREADS && a->rows < threads * processors) threads /= 2;
  while (threads > fewest && threads * (size_t)f->row_bytes + group_for(f, threads).bytes > room) threads /= 2;
  const mr_cuda_group group = group_for(f, threads);
  const int many = a->rows >= MOST_THREADS * processors && MR_CUDA_AT_ONCE * f->largest > d->shared_processor / 2;
  a->group = group.trees ? group.trees : a->n_trees;
  return (mr_cuda_launch){.kernel = group.trees ? f->staged : many ? f->pairs : f->direct, .threads = threads,
                          .blocks = (a->rows + threads - 1) / threads, .shared = threads * f->row_bytes + group.bytes};
}
