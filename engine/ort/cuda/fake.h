// A driver for tests, whose devices are the processor; see fake.c.
#ifndef MILLRACE_ORT_CUDA_FAKE_H
#define MILLRACE_ORT_CUDA_FAKE_H

#include <stddef.h>
#include <stdint.h>

const void *mr_fake_driver(void);
// Forgets all calls, failures and allocations; devices get these sizes.
void mr_fake_reset(int processors, int shared_processor, int shared_block);
// Makes call number k from now fail with a code, of those that can; of
// cuModuleLoadDataEx, with words in its log.
void mr_fake_fail(int k, int code, const char *log);
// The next call of this name instead.
void mr_fake_fail_call(const char *call, int code, const char *log);
// The calls since mr_fake_reset, one a line, to be freed.
char *mr_fake_calls(void);
// What was made and not given back: allocations and streams, contexts, contexts
// pushed.
typedef struct {
  int allocations, contexts, pushed;
} mr_fake_live;
mr_fake_live mr_fake_left(void);

// A kernel by its name; -1: none.
int mr_emulated_kernel(const char *name);
const char *mr_emulated_name(int kernel);
// Runs a kernel; NULL, or what is wrong with it.
const char *mr_emulate(int kernel, uint32_t blocks, uint32_t threads, size_t shared, const void *argument);

#endif
