package ort

// void mr_cuda_stand_in(const void *driver);
import "C"

import "unsafe"

// standInDriver puts another driver in the place of NVIDIA's, whose devices are
// the processor: sessions made from now on run the operators for devices on the
// CPU provider. nil ends that. For tests, while no session is open.
func standInDriver(driver unsafe.Pointer) { C.mr_cuda_stand_in(driver) }
