#include "forest.h"

#include <stdlib.h>
#include <string.h>

// The flags of the layout; forest.h has its words.
enum { AVERAGE = 1, CLASSIFIER = 2, BINARY = 4, POSITIVE = 8 };

// A tile's columns have so many bytes, which stay in a core's cache, or so few rows.
enum { TILE_BYTES = 512 << 10, FEWEST_ROWS = 256 };

// Limits, so that no size below overflows; models leaves larger ones alone.
enum { MOST = 1 << 28, MOST_COLUMNS = 1 << 16 };

typedef struct {
  const uint8_t *bytes;
  size_t words, at;
} reader;

static int have(const reader *r, size_t words) { return words <= r->words - r->at; }

static uint32_t next(reader *r) {
  uint32_t v;
  memcpy(&v, r->bytes + 4 * r->at++, sizeof v);
  return v;
}

static float as_float(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

// Sizes of one tree, from a first pass over its nodes.
typedef struct {
  uint32_t nodes, leaves, targets, walked;
} sizes;

// What of the tree was read so far, from the root down.
typedef struct {
  uint32_t node;  // its index among the nodes
  uint32_t first; // that of the first of its chain, if it ends one; else the same
  int right;     // its true side is done
  uint32_t kind, feature;
  int32_t bound;
} level;

typedef struct {
  mr_forest *f;
  mr_tree *tree;       // NULL in the first pass
  uint32_t *column;    // [width][FORMS]
  mr_node *nodes;
  level *stack;
  const char *error;
} builder;

// Makes the one or two nodes of a split, but for its sides.
static void put_split(const builder *b, const level *l) {
  const uint32_t *c = b->column + (size_t)l->feature * FORMS;
  const uint32_t columns[2] = {c[l->kind == LE_NAN_FALSE || l->kind == EQ_NAN_FALSE ? NAN_HIGH : NAN_LOW], c[NEGATED]};
  const int32_t bounds[2] = {l->bound, ~l->bound};
  const int two = l->kind >= EQ_NAN_FALSE;
  for (int i = 0; i <= two; i++) {
    mr_node *n = &b->nodes[l->node + (uint32_t)i];
    n->bound = bounds[i];
    n->column = columns[i] * b->f->rows;
    if (two && i == 0) n->next[0] = l->node + 1;
  }
}

// Walks a tree's nodes, which lie root first, each followed by its true side and
// then its false side. The first pass checks and counts, the second builds.
static int walk(builder *b, reader *r, sizes *s) {
  uint32_t depth = 0, leaves = 0, walked = 0, node = 0, links = 0; // before the node
  uint32_t *slot = b->tree ? &b->tree->root : NULL; // to be filled with the next node or leaf
  for (;; ) {
    if (node++ == s->nodes || !have(r, MRF_NODE)) return b->error = "a tree is cut short", 0;
    uint32_t head = next(r), bits = next(r), kind = mr_kind(head), feature = mr_feature_of(head);
    if (kind >= KINDS) return b->error = "a node of unknown kind", 0;
    if ((links || mr_or(head)) && kind != EQ_NAN_FALSE && kind != EQ_NAN_TRUE)
      return b->error = "a chain of other than equality", 0;
    if (kind != IS_LEAF) {
      float t = as_float(bits);
      if (feature >= b->f->width || t != t || depth == s->nodes) return b->error = "a node that cannot be", 0;
      level link, *l = mr_or(head) ? &link : &b->stack[depth++];
      *l = (level){walked, walked - 2 * links, 0, kind, feature, mr_key(t)};
      links = mr_or(head) ? links + 1 : 0;
      b->f->chains |= mr_or(head);
      uint32_t *c = b->column + (size_t)feature * FORMS;
      int two = kind >= EQ_NAN_FALSE;
      if (!b->tree) { // anything but NONE, until number_columns
        c[kind == LE_NAN_FALSE || kind == EQ_NAN_FALSE ? NAN_HIGH : NAN_LOW] = 0;
        if (two) c[NEGATED] = 0;
      }
      if (b->tree) {
        *slot = walked;
        slot = &b->nodes[walked + (two ? 1 : 0)].next[0];
        if (mr_or(head)) {
          put_split(b, l);
          slot = &b->nodes[walked].next[1];
        }
      }
      walked += two ? 2 : 1;
      continue;
    }
    if (slot) *slot = leaves | LEAF;
    leaves++;
    // Close what this leaf completes: a true side, and then the false side begins.
    while (depth && b->stack[depth - 1].right) depth--;
    if (!depth) break;
    level *l = &b->stack[depth - 1];
    l->right = 1;
    if (!b->tree) continue;
    put_split(b, l);
    for (uint32_t i = l->first; i < l->node; i += 2) b->nodes[i + 1].next[0] = b->nodes[l->node + 1].next[0];
    slot = &b->nodes[l->node].next[1];
  }
  if (node != s->nodes || leaves != s->leaves) return b->error = "a tree has nodes too many", 0;
  s->walked = walked;
  return 1;
}

// Two nodes made of one split on equality have the same false side.
static void share_false_sides(mr_node *nodes, const uint32_t *twin, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (twin[i]) nodes[i + 1].next[1] = nodes[i].next[1];
}

static int read_sizes(builder *b, reader *r, sizes *s) {
  if (!have(r, MRF_TREE)) return b->error = "cut short", 0;
  s->nodes = next(r);
  s->leaves = next(r);
  s->targets = next(r);
  if (!s->nodes || s->nodes > MOST || s->leaves > s->nodes || !s->targets || s->targets > b->f->targets)
    return b->error = "a tree of impossible size", 0;
  if (!have(r, s->targets)) return b->error = "cut short", 0;
  for (uint32_t i = 0, last = 0; i < s->targets; i++) {
    uint32_t id = next(r);
    if (id >= b->f->targets || (i && id <= last)) return b->error = "a target that is not there", 0;
    last = id;
  }
  return 1;
}

// Memory is taken in one piece; each take is a multiple of a cache line.
typedef struct {
  char *base;
  size_t used;
} arena;

static void *take(arena *a, size_t bytes) {
  void *p = a->base ? a->base + a->used : NULL;
  a->used += (bytes + 63) & ~(size_t)63;
  return p;
}

// Lays out everything whose size is known after the first pass; called once to
// count and once to place.
static void place(mr_forest *f, const sizes *s, arena *a) {
  f->trees = take(a, f->n_trees * sizeof *f->trees);
  f->features = take(a, f->n_features * sizeof *f->features);
  f->base = take(a, f->targets * sizeof *f->base);
  f->has = take(a, f->targets * sizeof *f->has);
  for (uint32_t i = 0; i < f->n_trees; i++) {
    void *target = take(a, s[i].targets * sizeof(uint32_t));
    void *values = take(a, (size_t)s[i].targets * s[i].leaves * sizeof(float));
    void *nodes = take(a, s[i].walked * sizeof(mr_node));
    if (a->base)
      f->trees[i] = (mr_tree){.n_nodes = s[i].walked, .nodes = nodes, .leaves = s[i].leaves, .targets = s[i].targets,
                              .target = target, .values = values};
  }
}

static int build_tree(builder *b, reader *r, sizes *s) {
  mr_tree *t = b->tree;
  b->nodes = (mr_node *)t->nodes;
  size_t start = r->at;
  if (!walk(b, r, s)) return 0;
  uint32_t *twin = calloc(s->walked + 1, sizeof *twin);
  if (!twin) return b->error = "no memory", 0;
  for (size_t i = start, at = 0; i < r->at; i += MRF_NODE) {
    uint32_t head;
    memcpy(&head, r->bytes + 4 * i, sizeof head);
    uint32_t kind = mr_kind(head);
    if (kind == IS_LEAF) continue;
    if (kind >= EQ_NAN_FALSE) twin[at++] = 1;
    at++;
  }
  share_false_sides(b->nodes, twin, s->walked);
  free(twin);
  return 1;
}

static int read_values(builder *b, reader *r) {
  mr_tree *t = b->tree;
  for (size_t i = 0; i < (size_t)t->targets * t->leaves; i++) ((float *)t->values)[i] = as_float(next(r));
  return 1;
}

// Numbers the columns that splits need.
static int number_columns(mr_forest *f, uint32_t *column, uint32_t *features) {
  f->n_columns = *features = 0;
  for (uint32_t i = 0; i < f->width; i++) {
    int used = 0;
    for (int form = 0; form < FORMS; form++) {
      uint32_t *c = &column[(size_t)i * FORMS + form];
      if (*c == NONE) continue;
      *c = f->n_columns++;
      used = 1;
    }
    *features += (uint32_t)used;
  }
  for (f->rows = TILE; f->rows > FEWEST_ROWS && (size_t)f->n_columns * f->rows * sizeof(int32_t) > TILE_BYTES;) f->rows /= 2;
  return f->n_columns <= MOST_COLUMNS;
}

static int build(builder *b, reader *r) {
  mr_forest *f = b->f;
  if (r->words < MRF_HEAD || next(r) != MRF_MAGIC) return b->error = "not a forest", 0;
  f->width = next(r);
  f->targets = next(r);
  f->n_trees = next(r);
  uint32_t flags = next(r);
  f->transform = (int)next(r);
  f->n_base = next(r);
  uint32_t most_nodes = next(r);
  r->at = MRF_HEAD;
  f->average = (flags & AVERAGE) != 0;
  f->classifier = (flags & CLASSIFIER) != 0;
  f->binary = (flags & BINARY) != 0;
  f->positive = (flags & POSITIVE) != 0;
  if (f->width > 1 << 24 || !f->targets || f->targets > 1 << 16 || !f->n_trees || f->n_trees > r->words ||
      f->transform > 3 || f->n_base > f->targets || most_nodes > r->words || !have(r, 2 * (size_t)f->targets))
    return b->error = "a forest of impossible size", 0;
  size_t start = r->at;
  sizes *s = calloc(f->n_trees, sizeof *s);
  b->column = malloc((size_t)f->width * FORMS * sizeof *b->column + 1);
  b->stack = malloc(((size_t)most_nodes + 1) * sizeof *b->stack);
  int ok = s && b->column && b->stack;
  if (!ok) b->error = "no memory";
  if (ok) memset(b->column, 0xff, (size_t)f->width * FORMS * sizeof *b->column);
  r->at = start + 2 * (size_t)f->targets;
  for (uint32_t i = 0; ok && i < f->n_trees; i++) {
    ok = read_sizes(b, r, &s[i]);
    if (ok && s[i].nodes > most_nodes) b->error = "a tree of impossible size", ok = 0;
    ok = ok && walk(b, r, &s[i]);
    size_t values = (size_t)s[i].targets * s[i].leaves;
    if (ok && !have(r, values)) b->error = "cut short", ok = 0;
    if (ok) r->at += values;
  }
  if (ok && r->at != r->words) b->error = "bytes too many", ok = 0;
  if (ok && !number_columns(f, b->column, &f->n_features)) b->error = "too many columns", ok = 0;
  arena a = {0};
  if (ok) {
    place(f, s, &a);
    if (!(a.base = f->memory = aligned_alloc(64, a.used + 64))) b->error = "no memory", ok = 0;
  }
  if (ok) {
    a.used = 0;
    place(f, s, &a);
    r->at = start;
    for (uint32_t i = 0; i < f->targets; i++) ((float *)f->base)[i] = as_float(next(r));
    for (uint32_t i = 0; i < f->targets; i++) ((uint32_t *)f->has)[i] = next(r);
    for (uint32_t i = 0, at = 0; i < f->width; i++) {
      uint32_t *c = b->column + (size_t)i * FORMS;
      if (c[0] == NONE && c[1] == NONE && c[2] == NONE) continue;
      f->features[at] = (mr_feature){.feature = i};
      memcpy(f->features[at++].column, c, sizeof f->features[0].column);
    }
  }
  for (uint32_t i = 0; ok && i < f->n_trees; i++) {
    b->tree = &f->trees[i];
    size_t words = r->at + MRF_TREE;
    sizes again = {0};
    ok = read_sizes(b, r, &again);
    for (uint32_t k = 0; k < again.targets; k++) {
      memcpy((uint32_t *)b->tree->target + k, r->bytes + 4 * (words + k), sizeof(uint32_t));
    }
    ok = ok && build_tree(b, r, &s[i]) && read_values(b, r);
  }
  free(s);
  free(b->column);
  free(b->stack);
  return ok;
}

mr_forest *mr_forest_read(const uint8_t *bytes, size_t size, const char **error) {
  builder b = {.f = calloc(1, sizeof(mr_forest))};
  if (!b.f) return *error = "no memory", NULL;
  reader r = {.bytes = bytes, .words = size / 4};
  if (size % 4 || !build(&b, &r)) {
    *error = b.error ? b.error : "bytes too many";
    mr_forest_free(b.f);
    return NULL;
  }
  return b.f;
}

void mr_forest_free(mr_forest *f) {
  if (!f) return;
  free(f->memory);
  for (void *block = f->plan, *next; block; block = next) {
    memcpy(&next, block, sizeof next);
    free(block);
  }
  free(f);
}

mr_finish mr_forest_finish(const mr_forest *f) {
  return (mr_finish){.base = f->base, .has = f->has, .targets = f->targets, .n_base = f->n_base, .n_trees = f->n_trees,
                     .average = f->average, .binary = f->binary, .positive = f->positive, .transform = f->transform};
}

// Each step takes every row that is not at a leaf one node down, without a
// branch on where it goes: the rows' loads do not wait for each other.
void mr_forest_walk(const mr_tree *t, size_t n, const int32_t *tile, uint32_t *leaf) {
  uint32_t at[TILE], row[TILE];
  for (size_t i = 0; i < n; i++) leaf[i] = t->root & ~LEAF;
  if (t->root & LEAF) return;
  for (size_t i = 0; i < n; i++) at[i] = t->root, row[i] = (uint32_t)i;
  for (size_t left = n; left;) {
    size_t stay = 0;
    for (size_t i = 0; i < left; i++) {
      const mr_node *node = &t->nodes[at[i]];
      uint32_t r = row[i], to = node->next[tile[node->column + r] > node->bound];
      leaf[r] = to & ~LEAF;
      at[stay] = to;
      row[stay] = r;
      stay += (to & LEAF) == 0;
    }
    left = stay;
  }
}
