#define _GNU_SOURCE
#include "spread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if defined __linux__ && defined __GLIBC__
#if __GLIBC_PREREQ(2, 35)
#define HAVE_RSEQ
#endif
#endif

#ifdef HAVE_RSEQ

#include <sys/rseq.h>

// For each thread at work, where the kernel writes which processor it is on, or
// was when it last ran: its rseq(2) area, which other threads may read. More
// threads than slots go unseen.
enum { SLOTS = 64 };
static _Atomic(const volatile uint32_t *) at_work[SLOTS];

static const volatile uint32_t *own_cpu(void) {
  if (__rseq_size == 0) return NULL; // an old kernel, or a tunable turned it off
  return &((struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset))->cpu_id;
}

// move puts the thread on a processor that it may use and no other is at work on,
// and leaves it free to be moved again; without one it stays.
static void move(const cpu_set_t *taken) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || CPU_ISSET(cpu, taken)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
    return;
  }
}

int mr_spread_begin(void) {
  const volatile uint32_t *own = own_cpu();
  if (!own) return -1;
  uint32_t here = *own;
  if (here >= CPU_SETSIZE) return -1; // not known
  cpu_set_t taken;
  CPU_ZERO(&taken);
  int slot = -1, paired = 0;
  for (int i = 0; i < SLOTS; i++) {
    const volatile uint32_t *other = atomic_load_explicit(&at_work[i], memory_order_relaxed);
    if (!other) {
      if (slot < 0 && atomic_compare_exchange_strong(&at_work[i], &other, own)) slot = i;
      continue;
    }
    uint32_t cpu = *other;
    if (cpu >= CPU_SETSIZE) continue;
    paired |= cpu == here;
    CPU_SET(cpu, &taken);
  }
  if (paired) move(&taken);
  return slot;
}

void mr_spread_end(int slot) {
  if (slot >= 0) atomic_store_explicit(&at_work[slot], NULL, memory_order_release);
}

#else

int mr_spread_begin(void) { return -1; }
void mr_spread_end(int slot) { (void)slot; }

#endif
