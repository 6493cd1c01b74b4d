// A SIGBUS handler for mappings of ours, chained before Go's own.
//
// The handler runs on whatever thread touched the page, in Go or C code, at any
// instruction. So it takes no lock, allocates nothing, calls nothing but mmap
// (a plain system call) and reads a table in BSS:
//
//   slots[0 .. high)   seq | start | end | faulted
//
// seq is odd while register or unregister, serialised by a Go mutex, writes the
// slot. A mapping that is being read is registered before and unregistered
// after, so the slot that matters to a fault is never the one being written;
// seq only keeps a half-written neighbour from claiming a foreign address.
//
// On a fault in a slot, zero pages go over everything from the faulting page to
// the end of the mapping: after a truncation all of it is beyond the end of the
// file, and one piece costs one VMA and one fault where page after page would
// run into vm.max_map_count and end the process after all. After an I/O error
// it hides pages that could have been read, but the mapping is void anyway.

#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MILLRACE_MAPPED_SLOTS
#define MILLRACE_MAPPED_SLOTS 65536
#endif

struct slot {
	_Atomic uint64_t seq;
	_Atomic uintptr_t start; // 0: free
	_Atomic uintptr_t end;
	_Atomic int faulted;
};

static struct slot slots[MILLRACE_MAPPED_SLOTS];
static _Atomic int high; // slots[high..] were never used
static _Atomic uintptr_t page_size;

// Free slots below high, as a stack; touched under the Go mutex only.
static int free_slots[MILLRACE_MAPPED_SLOTS];
static int free_count;

// The action that stood before ours. Written under the Go mutex and only
// before ours is (re)installed over it, so the handler sees it whole.
static struct sigaction previous;

static void chain(int sig, siginfo_t *info, void *context) {
	if (previous.sa_flags & SA_SIGINFO) {
		if (previous.sa_sigaction != NULL) {
			previous.sa_sigaction(sig, info, context);
			return;
		}
	} else if (previous.sa_handler == SIG_IGN) {
		if (info->si_code <= 0) { // sent by kill: may be ignored, a fault may not
			return;
		}
	} else if (previous.sa_handler != SIG_DFL) {
		previous.sa_handler(sig);
		return;
	}
	// No handler before ours: die of the signal, as without us. A fault
	// repeats at the same instruction; a sent signal has to be sent again.
	struct sigaction def;
	memset(&def, 0, sizeof def);
	def.sa_handler = SIG_DFL;
	sigaction(sig, &def, NULL);
	if (info->si_code <= 0) {
		raise(sig);
	}
}

// Returns 1 when the fault at addr was ours and reading can go on.
static int resolve(uintptr_t addr) {
	int n = atomic_load_explicit(&high, memory_order_acquire);
	for (int i = 0; i < n; i++) {
		struct slot *s = &slots[i];
		uint64_t seq = atomic_load_explicit(&s->seq, memory_order_acquire);
		if (seq & 1) {
			continue;
		}
		uintptr_t start = atomic_load_explicit(&s->start, memory_order_relaxed);
		uintptr_t end = atomic_load_explicit(&s->end, memory_order_relaxed);
		if (start == 0 || addr < start || addr >= end) {
			continue;
		}
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&s->seq, memory_order_relaxed) != seq) {
			continue;
		}
		atomic_store_explicit(&s->faulted, 1, memory_order_seq_cst);
		uintptr_t page = addr & ~(atomic_load_explicit(&page_size, memory_order_relaxed) - 1);
		void *got = mmap((void *)page, end - page, PROT_READ,
		                 MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
		return got != MAP_FAILED;
	}
	return 0;
}

static void on_sigbus(int sig, siginfo_t *info, void *context) {
	int saved = errno;
	if (info->si_code > 0 && info->si_addr != NULL && resolve((uintptr_t)info->si_addr)) {
		errno = saved;
		return;
	}
	errno = saved;
	chain(sig, info, context);
}

// Puts the handler first, once, and again where something (os/signal.Notify for
// SIGBUS, a library) has replaced it since. Returns an errno. The caller
// serialises.
int millrace_mapped_install(void) {
	struct sigaction now;
	if (sigaction(SIGBUS, NULL, &now) != 0) {
		return errno;
	}
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus) {
		return 0;
	}
	atomic_store(&page_size, (uintptr_t)sysconf(_SC_PAGESIZE));
	previous = now;
	struct sigaction ours;
	memset(&ours, 0, sizeof ours);
	ours.sa_sigaction = on_sigbus;
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigfillset(&ours.sa_mask);
	if (sigaction(SIGBUS, &ours, NULL) != 0) {
		return errno;
	}
	return 0;
}

// Both of these are called under the Go mutex.
int millrace_mapped_register(uintptr_t start, uintptr_t len) {
	int i, fresh = 0;
	if (free_count > 0) {
		i = free_slots[--free_count];
	} else {
		i = atomic_load_explicit(&high, memory_order_relaxed);
		if (i >= MILLRACE_MAPPED_SLOTS) {
			return MILLRACE_MAPPED_FULL;
		}
		fresh = 1;
	}
	uintptr_t page = atomic_load_explicit(&page_size, memory_order_relaxed);
	struct slot *s = &slots[i];
	uint64_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&s->faulted, 0, memory_order_relaxed);
	atomic_store_explicit(&s->end, start + ((len + page - 1) & ~(page - 1)), memory_order_relaxed);
	atomic_store_explicit(&s->start, start, memory_order_relaxed);
	atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
	if (fresh) {
		atomic_store_explicit(&high, i + 1, memory_order_release);
	}
	return i;
}

void millrace_mapped_unregister(int i) {
	struct slot *s = &slots[i];
	uint64_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&s->start, 0, memory_order_relaxed);
	atomic_store_explicit(&s->end, 0, memory_order_relaxed);
	atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
	free_slots[free_count++] = i;
}

int millrace_mapped_faulted(int i) {
	return atomic_load_explicit(&slots[i].faulted, memory_order_seq_cst);
}

int millrace_mapped_slots(void) {
	return MILLRACE_MAPPED_SLOTS;
}

uint64_t millrace_mapped_sum(const unsigned char *p, uintptr_t len) {
	uint64_t sum = 0;
	const volatile unsigned char *q = p; // volatile: a fault must stay a fault
	for (uintptr_t i = 0; i < len; i++) {
		sum += q[i];
	}
	return sum;
}
