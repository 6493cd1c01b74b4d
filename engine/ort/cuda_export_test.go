package ort

import "unsafe"

// StandIn makes sessions of a test run the operators for devices, until end is
// called: on a driver whose devices are the processor.
func StandIn(driver unsafe.Pointer, device int) (end func()) {
	standIn(driver, device)
	return func() { standIn(nil, -1) }
}
