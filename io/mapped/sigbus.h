// The registry of live mappings and the SIGBUS handler; see sigbus.c.
#ifndef MILLRACE_MAPPED_SIGBUS_H
#define MILLRACE_MAPPED_SIGBUS_H

#include <stdint.h>

// Returned by millrace_mapped_register when every slot is taken.
#define MILLRACE_MAPPED_FULL (-1)

int millrace_mapped_install(void);
int millrace_mapped_register(uintptr_t start, uintptr_t len);
void millrace_mapped_unregister(int slot);
int millrace_mapped_faulted(int slot);
int millrace_mapped_slots(void);

// Reads every byte at p, in C; used by tests to fault outside of Go code.
uint64_t millrace_mapped_sum(const unsigned char *p, uintptr_t len);

#endif
