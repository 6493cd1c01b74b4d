// Trees as steps over planes; forest.h says what these are.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forest.h"

// Larger trees are walked.
enum { MOST_LEAVES = 1024 };

// What a row costs, in picoseconds (BenchmarkTrees): to know when walking is cheaper.
typedef struct {
  double question, step;
  double leaf[2]; // looking up a leaf whose code has at most 7 bits, and more
} prices;
static const prices prices_of[] = {
    [MR_PLAIN] = {120, 4, {1000, 1000}}, [MR_AVX2] = {28, 2.5, {400, 900}}, [MR_AVX512] = {9, 1.8, {140, 900}}};

// Chains make a way longer than a tree of so many leaves has it.
static double walking(const mr_tree *t) {
  const double splits = t->leaves - 1, chains = t->n_nodes > 2 * splits ? t->n_nodes / (2 * splits) : 1;
  return 500 + 1050 * log2(t->leaves) * chains;
}

// Planes, steps and leaves of one group, in bytes: what stays in a core's cache.
enum { GROUP_BYTES = 768 << 10 };

// Kernels may read so many values, and pivots, where there are fewer.
enum { FEWEST_CODES = 32, FEWEST_PIVOTS = 32 };

// A tree whose values would take more by code is walked: not all codes have leaves.
enum { MOST_CODED = 1 << 14 };

// What a split asks of a row, in an order in which a column's bounds ascend. A split on
// equality asks two questions and whether either is answered with yes; those come last.
typedef struct {
  uint64_t key, either; // either: the second of them
} question;

#define EITHER ((uint64_t)1 << 63)

// A tree has two nodes of a split on equality, which ask three questions. Chains of them may
// be so long that it is walked, but not those of LightGBM's sets of 32 categories.
enum { MOST_NODES = 16 * MOST_LEAVES, MOST_QUESTIONS = GROUP_BYTES / PLANE + 2 * MOST_NODES, SLOTS = 1 << 17 };
_Static_assert(2 * MOST_QUESTIONS <= SLOTS, "so that a free slot is soon found");

// A part of a subtree's codes that no leaf has: all that agree with base but for the
// lowest bits.
typedef struct {
  uint32_t bits, base, next;
} cube;

#define NONE_FREE 0xffffffffu

// A split or a leaf, and what is below it.
typedef struct {
  uint32_t bits;               // of its leaves' codes
  uint32_t base;               // what its codes are or'ed with, within its parent's; and then within the tree's
  uint32_t free;               // list of its free cubes
  uint16_t operand[MOST_BITS]; // the plane of each bit of the tree's codes
} subtree;

typedef struct {
  mr_forest *f;
  const prices *prices;
  double distinct;    // questions of a group, as a share of those of its trees
  subtree *subtrees;  // the tree's nodes, and then its leaves
  cube *cubes;
  uint32_t n_cubes;
  question *asked;  // by the group, each once
  uint32_t n_asked;
  uint32_t *found;  // [SLOTS], by a question's key: its number among those, and 1
  mr_step *steps;
  uint16_t *temporary; // planes that are free
  uint32_t n_temporary, first_temporary, n_planes;
} planner;

// Memory that is freed with the plan.
static void *keep(mr_forest *f, size_t bytes) {
  char *block = aligned_alloc(64, 64 + ((bytes + 63) & ~(size_t)63));
  if (!block) return NULL;
  memcpy(block, &f->plan, sizeof f->plan);
  f->plan = block;
  return block + 64;
}

static int is_equality(const mr_tree *t, uint32_t i) {
  // No other two nodes have a side in common.
  return t->nodes[i].next[0] == i + 1 && t->nodes[i + 1].next[1] == t->nodes[i].next[1];
}

// Whether a split on equality has the next one as its false side, and its true side.
static int is_linked(const mr_tree *t, uint32_t i) {
  return i + 3 < t->n_nodes && is_equality(t, i) && t->nodes[i].next[1] == i + 2 && is_equality(t, i + 2) &&
         t->nodes[i + 3].next[0] == t->nodes[i + 1].next[0];
}

// The last split of the chain that begins here: mostly the same.
static uint32_t last_of(const mr_tree *t, uint32_t i) {
  while (is_linked(t, i)) i += 2;
  return i;
}

// Whether a node goes on with what one before it began: a split on equality, or a chain.
static int is_later(const mr_tree *t, uint32_t i) {
  return (i > 0 && is_equality(t, i - 1)) || (i > 1 && is_linked(t, i - 2));
}

static subtree *below(const planner *p, const mr_tree *t, uint32_t next) {
  return &p->subtrees[next & LEAF ? t->n_nodes + (next & ~LEAF) : next];
}

static subtree *passed(const planner *p, const mr_tree *t, uint32_t i) {
  return below(p, t, t->nodes[is_equality(t, i) ? i + 1 : i].next[0]);
}

static subtree *failed(const planner *p, const mr_tree *t, uint32_t i) {
  return below(p, t, t->nodes[last_of(t, i)].next[1]);
}

static void set_free(planner *p, uint32_t *list, uint32_t bits, uint32_t base) {
  p->cubes[p->n_cubes] = (cube){bits, base, *list};
  *list = p->n_cubes++;
}

// Adds the free cubes of a side to a list of what is above it.
static void join_free(planner *p, uint32_t *list, const subtree *side) {
  for (uint32_t i = side->free, next; i != NONE_FREE; i = next) {
    next = p->cubes[i].next;
    p->cubes[i].base += side->base;
    p->cubes[i].next = *list;
    *list = i;
  }
}

// Takes the smallest cube of a list that has room for so many bits out of it.
static uint32_t take_free(planner *p, uint32_t *list, uint32_t bits) {
  uint32_t *best = NULL;
  for (uint32_t *at = list; *at != NONE_FREE; at = &p->cubes[*at].next)
    if (p->cubes[*at].bits >= bits && (!best || p->cubes[*at].bits < p->cubes[*best].bits)) best = at;
  if (!best) return NONE_FREE;
  const uint32_t found = *best;
  *best = p->cubes[found].next;
  return found;
}

// Gives the leaves of a tree codes, so that those below a split differ in as few bits as
// can be: the smaller side takes codes that the larger has free, or else one bit more
// tells the sides apart. 0 where codes get too long. *steps is how many steps the tree
// takes at most.
static int choose_codes(planner *p, const mr_tree *t, size_t *steps) {
  p->n_cubes = 0;
  *steps = 0;
  for (uint32_t i = 0; i < t->leaves; i++) p->subtrees[t->n_nodes + i] = (subtree){.free = NONE_FREE};
  for (uint32_t i = t->n_nodes; i-- > 0;) { // sides lie behind their split
    if (is_later(t, i)) continue;
    subtree *yes = passed(p, t, i), *no = failed(p, t, i), *s = &p->subtrees[i];
    subtree *large = yes->bits >= no->bits ? yes : no, *small = large == yes ? no : yes;
    *steps += large->bits + (last_of(t, i) - i) / 2;
    const uint32_t room = take_free(p, &large->free, small->bits);
    s->bits = large->bits;
    s->free = NONE_FREE;
    if (room != NONE_FREE) {
      large->base = 0;
      small->base = p->cubes[room].base;
      for (uint32_t b = small->bits; b < p->cubes[room].bits; b++) set_free(p, &s->free, b, small->base + (1u << b));
    } else {
      if (++s->bits > MOST_BITS) return 0;
      // So the bit is the split's plane itself.
      yes->base = 0;
      no->base = 1u << large->bits;
      for (uint32_t b = small->bits; b < large->bits; b++) set_free(p, &s->free, b, small->base + (1u << b));
    }
    join_free(p, &s->free, large);
    join_free(p, &s->free, small);
  }
  below(p, t, t->root)->base = 0;
  for (uint32_t i = 0; i < t->n_nodes; i++) {
    if (is_later(t, i)) continue;
    passed(p, t, i)->base += p->subtrees[i].base;
    failed(p, t, i)->base += p->subtrees[i].base;
  }
  return 1;
}

static uint64_t key_of(uint32_t column, int32_t bound) { return (uint64_t)column << 32 | ((uint32_t)bound ^ 0x80000000u); }
static uint32_t column_of(uint64_t key) { return (uint32_t)(key >> 32); }
static int32_t bound_of(uint64_t key) { return (int32_t)((uint32_t)key ^ 0x80000000u); }

static int by_key(const void *a, const void *b) {
  const uint64_t x = ((const question *)a)->key, y = ((const question *)b)->key;
  return (x > y) - (x < y);
}

// Where a question is found, or would be.
static uint32_t *slot_of(const planner *p, uint64_t key) {
  uint64_t at = (key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 47;
  while (p->found[at] && p->asked[p->found[at] - 1].key != key) at = (at + 1) % SLOTS;
  return &p->found[at];
}

static void forget(planner *p) {
  p->n_asked = 0;
  memset(p->found, 0, SLOTS * sizeof *p->found);
}

static void ask_question(planner *p, question q) {
  uint32_t *slot = slot_of(p, q.key);
  if (*slot) return;
  p->asked[p->n_asked++] = q;
  *slot = p->n_asked;
}

// Adds what a tree asks to what the group asks; says how many questions that are, counted
// as often as they are asked.
static uint32_t ask(planner *p, const mr_tree *t) {
  uint32_t n = t->n_nodes;
  for (uint32_t i = 0; i < t->n_nodes; i++) {
    const uint64_t key = key_of(t->nodes[i].column, t->nodes[i].bound);
    ask_question(p, (question){.key = key});
    if (!is_equality(t, i)) continue;
    ask_question(p, (question){.key = EITHER | key, .either = key_of(t->nodes[i + 1].column, t->nodes[i + 1].bound)});
    n++;
  }
  return n;
}

// Brings the questions into their order, which is that of their planes.
static void sort_questions(planner *p) {
  const uint32_t n = p->n_asked;
  qsort(p->asked, n, sizeof *p->asked, by_key);
  forget(p);
  for (uint32_t i = 0; i < n; i++) ask_question(p, p->asked[i]);
}

static uint16_t plane_of(const planner *p, uint64_t key) { return (uint16_t)(FIRST_TEST + *slot_of(p, key) - 1); }

static void release(planner *p, uint16_t plane) {
  if (plane >= p->first_temporary) p->temporary[p->n_temporary++] = plane;
}

// The plane of what a split asks, of a chain's the first.
static uint16_t test_of(const planner *p, const mr_tree *t, uint32_t i) {
  const uint64_t key = key_of(t->nodes[i].column, t->nodes[i].bound);
  return plane_of(p, is_equality(t, i) ? EITHER | key : key);
}

// The steps of a tree, in an order in which sides are done before their split.
static int plan_tree(planner *p, mr_tree *t) {
  uint32_t n = 0;
  const subtree *root = below(p, t, t->root);
  for (uint32_t i = 0; i < t->leaves; i++) {
    subtree *leaf = &p->subtrees[t->n_nodes + i];
    for (uint32_t b = 0; b < root->bits; b++) leaf->operand[b] = leaf->base >> b & 1 ? ONES : ZEROS;
  }
  p->n_temporary = 0;
  // What a chain asks is a plane that stays, since several bits may be that plane.
  uint32_t chain = FIRST_TEST + p->n_asked;
  p->first_temporary = chain;
  for (uint32_t i = 0; i < t->n_nodes; i++) p->first_temporary += !is_later(t, i) && is_linked(t, i);
  uint32_t planes = p->first_temporary;
  for (uint32_t i = t->n_nodes; i-- > 0;) {
    if (is_later(t, i)) continue;
    uint16_t test = test_of(p, t, i);
    for (uint32_t link = i; is_linked(t, link); link += 2) { // equal to none of them
      p->steps[n++] = (mr_step){.to = (uint16_t)chain, .test = test, .passed = ZEROS, .failed = test_of(p, t, link + 2)};
      test = (uint16_t)chain;
    }
    chain += is_linked(t, i);
    const subtree *yes = passed(p, t, i), *no = failed(p, t, i);
    for (uint32_t b = 0; b < root->bits; b++) {
      const uint16_t y = yes->operand[b], x = no->operand[b];
      uint16_t *to = &p->subtrees[i].operand[b];
      if (x == y) {
        *to = x;
      } else if (y == ZEROS && x == ONES) {
        *to = test;
      } else {
        release(p, y);
        release(p, x); // a step may write what it reads
        *to = p->n_temporary ? p->temporary[--p->n_temporary] : (uint16_t)planes++;
        p->steps[n++] = (mr_step){.to = *to, .test = test, .passed = y, .failed = x};
      }
    }
  }
  if (planes > p->n_planes) p->n_planes = planes;
  const size_t codes = (size_t)1 << root->bits;
  mr_step *steps = keep(p->f, n * sizeof *steps);
  float *coded = keep(p->f, (t->targets * codes + FEWEST_CODES) * sizeof *coded);
  if (!steps || !coded) return 0;
  memcpy(steps, p->steps, n * sizeof *steps);
  memset(coded, 0, t->targets * codes * sizeof *coded);
  for (uint32_t i = 0; i < t->leaves; i++)
    for (uint32_t k = 0; k < t->targets; k++)
      coded[k * codes + p->subtrees[t->n_nodes + i].base] = t->values[(size_t)k * t->leaves + i];
  t->bits = root->bits;
  t->n_steps = n;
  t->steps = steps;
  t->coded = coded;
  memcpy(t->plane, root->operand, sizeof t->plane);
  return 1;
}

// The bounds of n questions about one column.
static int plan_ranks(planner *p, const question *q, size_t n, mr_ranks *to) {
  uint32_t levels = 1;
  while ((1u << levels) <= n) levels++;
  const size_t size = levels < 5 ? FEWEST_PIVOTS : (size_t)1 << levels;
  int32_t *pivots = keep(p->f, size * sizeof *pivots);
  if (!pivots) return 0;
  for (size_t i = 0; i < size; i++) pivots[i] = INT32_MAX;
  for (uint32_t l = 0, at = 0; l < levels; l++)
    for (uint32_t part = 0; part < 1u << l; part++, at++) {
      const size_t middle = ((2 * (size_t)part + 1) << (levels - 1 - l)) - 1;
      if (middle < n) pivots[at] = bound_of(q[middle].key);
    }
  *to = (mr_ranks){.column = column_of(q->key), .first = (uint32_t)(FIRST_TEST + (q - p->asked)), .n = (uint32_t)n,
                   .levels = levels, .pivots = pivots};
  return 1;
}

// The questions of a group become planes.
static int plan_questions(planner *p, mr_group *g) {
  size_t plain = 0, n = 0;
  while (plain < p->n_asked && !(p->asked[plain].key & EITHER)) plain++;
  mr_ranks *ranks = keep(p->f, plain * sizeof *ranks);
  mr_step *steps = keep(p->f, (p->n_asked - plain) * sizeof *steps);
  if (!ranks || !steps) return 0;
  for (size_t i = 0; i < plain; n++) {
    size_t end = i + 1;
    while (end < plain && end - i < MOST_RANKS && column_of(p->asked[end].key) == column_of(p->asked[i].key)) end++;
    if (!plan_ranks(p, &p->asked[i], end - i, &ranks[n])) return 0;
    i = end;
  }
  for (size_t i = plain; i < p->n_asked; i++)
    steps[i - plain] = (mr_step){.to = (uint16_t)(FIRST_TEST + i), .test = plane_of(p, p->asked[i].key & ~EITHER),
                                 .passed = plane_of(p, p->asked[i].either), .failed = ONES};
  g->n_ranks = (uint32_t)n;
  g->ranks = ranks;
  g->n_steps = (uint32_t)(p->n_asked - plain);
  g->steps = steps;
  return 1;
}

static int is_large(const mr_tree *t) { return t->leaves > MOST_LEAVES || t->n_nodes > MOST_NODES; }

// Sets how many of the questions of trees are distinct, by those of the first group.
static void count_distinct(planner *p) {
  uint32_t all = 0, distinct = 0;
  forget(p);
  for (uint32_t i = 0; i < p->f->n_trees; i++) {
    if (is_large(&p->f->trees[i])) continue;
    const uint32_t n = ask(p, &p->f->trees[i]);
    if (p->n_asked * PLANE > GROUP_BYTES) break;
    all += n;
    distinct = p->n_asked;
  }
  p->distinct = all ? (double)distinct / all : 1;
}

// Whether steps of a tree are better than walking it; *steps is how many they are at most.
static int worth_planning(planner *p, const mr_tree *t, size_t *steps) {
  if (is_large(t) || !choose_codes(p, t, steps)) return 0;
  if ((size_t)t->targets << below(p, t, t->root)->bits > MOST_CODED) return 0;
  const double price = t->n_nodes * p->distinct * p->prices->question + (double)*steps * p->prices->step +
                       p->prices->leaf[below(p, t, t->root)->bits > 7];
  return price < walking(t);
}

// The trees from first on that stay in cache together; those that are better not walked
// are planned.
static int plan_group(planner *p, uint32_t first, mr_group *g) {
  mr_forest *f = p->f;
  size_t bytes = 0;
  forget(p);
  *g = (mr_group){.first = first, .last = first};
  for (; g->last < f->n_trees; g->last++) {
    mr_tree *t = &f->trees[g->last];
    const uint32_t asked = p->n_asked;
    size_t steps, more = t->n_nodes * sizeof(mr_node) + (size_t)t->targets * t->leaves * sizeof(float);
    t->planned = worth_planning(p, t, &steps);
    if (t->planned) {
      ask(p, t);
      more = steps * sizeof(mr_step) + ((size_t)t->targets * sizeof(float) << below(p, t, t->root)->bits);
    }
    if (g->last > first && bytes + more + p->n_asked * PLANE > GROUP_BYTES) {
      p->n_asked = asked;
      break;
    }
    bytes += more;
  }
  sort_questions(p);
  if (!plan_questions(p, g)) return 0;
  p->n_planes = FIRST_TEST + p->n_asked;
  for (uint32_t i = first; i < g->last; i++) {
    mr_tree *t = &f->trees[i];
    size_t steps;
    if (t->planned && !(choose_codes(p, t, &steps) && plan_tree(p, t))) return 0;
  }
  g->n_planes = p->n_planes;
  return 1;
}

static int plan_groups(planner *p) {
  mr_forest *f = p->f;
  count_distinct(p);
  f->groups = keep(f, f->n_trees * sizeof *f->groups);
  if (!f->groups) return 0;
  for (uint32_t first = 0; first < f->n_trees;) {
    mr_group *g = &f->groups[f->n_groups++];
    if (!plan_group(p, first, g)) return 0;
    first = g->last;
    if (g->n_planes > f->n_planes) f->n_planes = g->n_planes;
  }
  return 1;
}

int mr_forest_plan(mr_forest *f, mr_level level) {
  planner p = {.f = f,
               .prices = &prices_of[level],
               .subtrees = malloc((MOST_NODES + MOST_LEAVES) * sizeof *p.subtrees),
               .cubes = malloc(MOST_NODES * MOST_BITS * sizeof *p.cubes),
               .asked = malloc(MOST_QUESTIONS * sizeof *p.asked),
               .found = malloc(SLOTS * sizeof *p.found),
               .steps = malloc(MOST_NODES * MOST_BITS * sizeof *p.steps),
               .temporary = malloc(MOST_NODES * MOST_BITS * sizeof *p.temporary)};
  const int ok = p.subtrees && p.cubes && p.asked && p.found && p.steps && p.temporary && plan_groups(&p);
  free(p.subtrees);
  free(p.cubes);
  free(p.asked);
  free(p.found);
  free(p.steps);
  free(p.temporary);
  return ok;
}
