#define _GNU_SOURCE
#include "emulator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "fake.h"
#include "kernels.cu"

_Thread_local mr_index threadIdx, blockIdx, blockDim, gridDim;
_Thread_local float *mr_emulated_shared;

// A block's threads: contexts that run until they end or reach a barrier.
enum { STACK_BYTES = 64 << 10, GUARD_BYTES = 4096, GUARD = 0xa5 };

typedef struct {
  ucontext_t context;
  int ended;
} thread;

static _Thread_local struct {
  void (*body)(const void *);
  const void *argument;
  thread *threads;
  char *stacks;
  ucontext_t back;
} now;

void __syncthreads(void) { swapcontext(&now.threads[threadIdx.x].context, &now.back); }

static void run_thread(void) {
  now.body(now.argument);
  now.threads[threadIdx.x].ended = 1;
}

static void start_threads(void) {
  for (uint32_t i = 0; i < blockDim.x; i++) {
    thread *t = &now.threads[i];
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = now.stacks + (size_t)i * STACK_BYTES;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = &now.back;
    t->ended = 0;
    makecontext(&t->context, run_thread, 0);
  }
}

// Runs all threads from barrier to barrier; 0 when some end where others wait.
static int run_block(void) {
  start_threads();
  for (;;) {
    uint32_t ended = 0;
    for (uint32_t i = 0; i < blockDim.x; i++) {
      threadIdx.x = i;
      swapcontext(&now.back, &now.threads[i].context);
      ended += (uint32_t)now.threads[i].ended;
    }
    if (ended) return ended == blockDim.x;
  }
}

static int guard_holds(const unsigned char *guard) {
  for (int i = 0; i < GUARD_BYTES; i++)
    if (guard[i] != GUARD) return 0;
  return 1;
}

static const char *run_grid(uint32_t blocks, size_t shared) {
  unsigned char *guard = (unsigned char *)mr_emulated_shared + shared;
  memset(guard, GUARD, GUARD_BYTES);
  for (uint32_t b = 0; b < blocks; b++) {
    blockIdx.x = b;
    memset(mr_emulated_shared, 0xff, shared); // NaN, so that what was not written shows
    if (!run_block()) return "threads of a block reach different barriers";
    if (!guard_holds(guard)) return "a block writes beyond its shared memory";
  }
  return NULL;
}

#define BODY(name, type) \
  static void run_##name(const void *a) { name(*(const type *)a); }
BODY(mr_trees_staged_one_le, mr_cuda_trees)
BODY(mr_trees_staged_one, mr_cuda_trees)
BODY(mr_trees_staged, mr_cuda_trees)
BODY(mr_trees_direct_one_le, mr_cuda_trees)
BODY(mr_trees_direct, mr_cuda_trees)
BODY(mr_trees_pairs_one_le, mr_cuda_trees)
BODY(mr_trees_pairs, mr_cuda_trees)
BODY(mr_trees_wide, mr_cuda_trees)
BODY(mr_trees_general, mr_cuda_trees)
BODY(mr_affine_values, mr_cuda_affine)
BODY(mr_affine_sums, mr_cuda_affine)

#define ENTRY(name) {#name, run_##name}
static const struct {
  const char *name;
  void (*body)(const void *);
} kernels[] = {ENTRY(mr_trees_staged_one_le), ENTRY(mr_trees_staged_one), ENTRY(mr_trees_staged),
               ENTRY(mr_trees_direct_one_le), ENTRY(mr_trees_direct), ENTRY(mr_trees_pairs_one_le), ENTRY(mr_trees_pairs),
               ENTRY(mr_trees_wide), ENTRY(mr_trees_general), ENTRY(mr_affine_values), ENTRY(mr_affine_sums)};

int mr_emulated_kernel(const char *name) {
  for (int i = 0; i < (int)(sizeof kernels / sizeof *kernels); i++)
    if (!strcmp(kernels[i].name, name)) return i;
  return -1;
}

const char *mr_emulated_name(int kernel) { return kernels[kernel].name; }

const char *mr_emulate(int kernel, uint32_t blocks, uint32_t threads, size_t shared, const void *argument) {
  now.body = kernels[kernel].body;
  now.argument = argument;
  now.threads = calloc(threads, sizeof *now.threads);
  now.stacks = malloc((size_t)threads * STACK_BYTES);
  mr_emulated_shared = aligned_alloc(16, (shared + GUARD_BYTES + 15) & ~(size_t)15);
  gridDim.x = blocks;
  blockDim.x = threads;
  const char *error = "no memory";
  if (now.threads && now.stacks && mr_emulated_shared) error = run_grid(blocks, shared);
  free(now.threads);
  free(now.stacks);
  free(mr_emulated_shared);
  return error;
}
