// NVIDIA's driver, loaded when it is first asked for: its functions, page-locked
// memory, and what devices there are. ONNX Runtime's own page-locked memory goes
// with the session that gave it; this stays.
#ifndef MILLRACE_ORT_DRIVER_H
#define MILLRACE_ORT_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "cuda/functions.h"

enum { MR_ERROR_TEXT = 2048 };

// What went wrong; empty when nothing did.
typedef struct {
  char text[MR_ERROR_TEXT];
} mr_error;

// The driver's functions, started; NULL where it cannot be loaded or started.
const mr_driver_functions *mr_driver(mr_error *error);
// Has others take their place, for tests; NULL ends that.
void mr_driver_stand_in(const mr_driver_functions *functions);
// Says that what failed with a result, in the driver's words; detail may be empty.
void mr_driver_says(const mr_driver_functions *driver, mr_error *error, const char *what, mr_cu_result result,
                    const char *detail);

// Whether the loader finds a library.
int mr_driver_finds(const char *name);
// What a libnvinfer says of its version, such as 101601 for 10.16.1; 0 where the
// loader does not find it.
int mr_tensorrt_version(const char *name);
// How many devices there are; below 0 where the driver cannot be loaded or started.
int mr_driver_devices(mr_error *error);
// Its version, such as 13000 for CUDA 13.0.
int mr_driver_version(mr_error *error);
int mr_driver_device_name(int device, char *name, int room, mr_error *error);
// Where a device sits on the bus, such as 0000:3b:00.0.
int mr_driver_device_address(int device, char *address, int room, mr_error *error);
// Has threads that wait for a device sleep meanwhile, and leave their core to others;
// else each keeps one busy looking.
int mr_driver_sleep_while_waiting(int device, mr_error *error);
// A device's memory in bytes; 0 when it failed.
size_t mr_driver_device_memory(int device, mr_error *error);
// Page-locked memory for all devices; NULL when there is none, or no driver.
void *mr_driver_host_alloc(int device, size_t bytes, mr_error *error);
void mr_driver_host_free(int device, void *memory);

// Memory of a device; 0 when there is none, or no driver.
uint64_t mr_driver_device_alloc(int device, size_t bytes, mr_error *error);
void mr_driver_device_free(int device, uint64_t memory);
// Copies between page-locked memory and a device's, on a stream of its own, and
// waits for the end. 0 when it failed.
int mr_driver_copy(int device, uint64_t memory, void *host, size_t bytes, int to_device, mr_error *error);

#endif
