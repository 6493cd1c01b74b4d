package ort

// #include "cuda_stand_in.h"
import "C"

import "unsafe"

// standIn has sessions made from now on run the operators for devices on the CPU
// provider, as those of this device; -1 ends that. driver takes the place of
// NVIDIA's (nil), and its devices must be the processor. For tests, while no
// session is open on another driver.
func standIn(driver unsafe.Pointer, device int) { C.mr_cuda_stand_in(driver, C.int(device)) }
