// What tests call to run the operators for devices on the processor.
#ifndef MILLRACE_ORT_CUDA_STAND_IN_H
#define MILLRACE_ORT_CUDA_STAND_IN_H

// Has sessions made from now on run the operators for devices on the CPU
// provider, as those of this device; -1 ends that. driver, mr_driver_functions,
// takes the place of NVIDIA's, and its devices must be the processor; NULL is
// NVIDIA's. While no session is open on another driver.
void mr_cuda_stand_in(const void *driver, int device);
// That device; -1: none.
int mr_cuda_stand_in_device(void);

#endif
